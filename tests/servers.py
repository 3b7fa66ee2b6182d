"""Servers for the tests: those that are given, else private ones of installed programs.

A program that is missing is installed with the system's package manager where this account may;
else the tests stop, with one sentence that says what to install.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from infra.servers import local_servers
from infra.servers.local_servers import LocalRabbitMQ, LocalRedis, Server

PACKAGE_MANAGERS: Sequence[tuple[str, Sequence[Sequence[str]]]] = (
    ("apt-get", (("apt-get", "update"), ("apt-get", "install", "--yes"))),
    ("dnf", (("dnf", "install", "--assumeyes"),)),
    ("apk", (("apk", "add"),)),
    ("brew", (("brew", "install"),)),
)


Program = tuple[str, tuple[str, ...], str]
"""Its name, its packages for each of PACKAGE_MANAGERS, and what connects another server."""

REDIS: Program = ("redis-server", ("redis-server", "redis", "redis", "redis"), "CLUB_REDIS_URL")
RABBITMQ: Program = (
    "rabbitmq-server",
    ("rabbitmq-server", "rabbitmq-server", "rabbitmq-server", "rabbitmq"),
    "CLUB_AMQP_URL",
)


S = TypeVar("S", bound=LocalRedis | LocalRabbitMQ)


def install_what_is_missing() -> None:
    """Once, before several processes of the tests would install the same program at once."""
    for name, packages, variable in (REDIS, RABBITMQ):
        if not os.environ.get(variable):
            program(name, packages, variable)


def program(name: str, packages: Sequence[str], variable: str) -> str:
    """The path of an installed program, installed now if need be.

    `packages` are its names for each of PACKAGE_MANAGERS, `variable` what connects another server.
    """
    found = _installed(name, packages)
    if found is None:
        pytest.exit(
            f"The tests need {name}: install the package {packages[0]}, or set {variable}.", 2
        )
    return found


def see_to(who: str, name: str, packages: Sequence[str], _: str) -> None:
    """Install a program that `who` needs a private one of, or end with a sentence that names it."""
    if _found(name, packages[0]) is None:
        print(f"{name} is missing: trying to install it …", file=sys.stderr, flush=True)
    if _installed(name, packages) is None:
        sys.exit(f"{who} need {name}: install the package {packages[0]}.")


def _installed(name: str, packages: Sequence[str]) -> str | None:
    found = _found(name, packages[0])
    if found is None:
        _install(packages)
        found = _found(name, packages[0])
    return found


def _found(name: str, package: str) -> str | None:
    try:
        return local_servers.program(name, package)
    except local_servers.NotInstalled:
        return None


def _install(packages: Sequence[str]) -> None:
    for (manager, steps), package in zip(PACKAGE_MANAGERS, packages, strict=True):
        if shutil.which(manager) is None or (os.geteuid() != 0 and manager != "brew"):
            continue
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for step in steps:
            last = [package] if step is steps[-1] else []
            subprocess.run([*step, *last], env=environment, capture_output=True, timeout=600)
        return


class Freezing(Server):
    """A server that can be frozen."""

    def freeze(self) -> None:
        """Let it keep its connections, and answer nothing."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it answer again."""
        self.signal(signal.SIGCONT)


class RedisServer(Freezing, LocalRedis):
    """A Redis of the tests' own, which can go away and come back."""

    def stop(self, how: int = signal.SIGKILL) -> None:
        """Let it go away, with all that it kept, even if it is frozen."""
        super().stop(how)


def private_redis() -> AbstractContextManager[RedisServer]:
    """A Redis of one's own, stopped at the end."""
    return private(RedisServer, *REDIS)


@contextmanager
def private(
    kind: Callable[[Path], S], name: str, packages: Sequence[str], variable: str
) -> Iterator[S]:
    """A server of one's own in a folder of its own, started here and stopped at the end."""
    program(name, packages, variable)
    home = Path(tempfile.mkdtemp(prefix=f"club-{name}-"))
    server = kind(home)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(home)
