"""What the token checks add to a GET: our service with them, and without.

Both serve the same rows of one database at the same time; the load goes to one and then to the
other. Every user reads their own row with a token of their own, round and round, so that each
token is checked in full when it comes first, and looked up again every two seconds.
"""

import os
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from infra.secrets.keys import Keys
from infra.secrets.tokens import SignedTokens
from infra.servers.local_servers import free_port
from infra.settings import Settings
from tests.benchmarks.figures import Figure
from tests.benchmarks.load import Job, Loader, get
from tests.benchmarks.servers import (
    TOKEN_SECONDS,
    Service,
    bearer,
    club_environment,
    process,
    wait_until_shown,
)

USERS = 500
CONNECTIONS = 64
SECONDS = 1.0
ROUNDS = 7
TARGET = 1.1
"""The time of a GET with the checks, in that of one without."""


@dataclass(frozen=True)
class Checks:
    """Requests a second, with the checks and without, round by round."""

    checked: Sequence[float]
    unchecked: Sequence[float]

    def figure(self) -> Figure:
        times = sorted(
            without / with_them
            for with_them, without in zip(self.checked, self.unchecked, strict=True)
        )
        return Figure(
            name=f"time of a GET with token checks, in one without, {CONNECTIONS} connections",
            ours=median(self.checked),
            theirs=median(self.unchecked),
            ratio=median(times),
            target=TARGET,
            at_most=True,
            unit="requests/s",
            note=f"rounds {times[0]:.2f} to {times[-1]:.2f}",
        )


def measure(ours: Service, home: Path, quick: bool, loader: Loader) -> Checks:
    """Alternate between the two."""
    requests = _requests(ours, home)
    rounds = 3 if quick else ROUNDS
    rates: dict[str, list[float]] = {"checked": [], "unchecked": []}
    with _unchecked(ours, home) as twin:
        for turn in range(rounds):
            order = ("checked", "unchecked") if turn % 2 == 0 else ("unchecked", "checked")
            for which in order:
                port = (ours if which == "checked" else twin).port
                job = Job(port, requests, CONNECTIONS, seconds=SECONDS, warm_up=len(requests))
                rates[which].append(loader.run(job).rate)
    return Checks(rates["checked"], rates["unchecked"])


def _requests(service: Service, home: Path) -> list[bytes]:
    """Each user's own row, asked for with their own token, of a session of their own."""
    settings = Settings()
    tokens = SignedTokens(Keys(home / service.name), settings.issuer)
    users = random.Random(0).sample(service.users, USERS)
    return [
        get(f"/users/{user}/", bearer(tokens.access_token(user, user, TOKEN_SECONDS)))
        for user in users
    ]


@contextmanager
def _unchecked(service: Service, home: Path) -> Iterator[Service]:
    port = free_port()
    environment = club_environment(service.database, home / service.name, port)
    command = [sys.executable, "-m", "tests.benchmarks.unchecked"]
    with process(command, os.environ | environment, home / "unchecked.log") as running:
        wait_until_shown(running, port, ["/health/"], service.headers)
        yield Service(
            "unchecked",
            service.database,
            port,
            running.pid,
            service.headers,
            service.users,
            service.memberships,
        )
