"""Servers for the tests: those that are given, else private ones of installed programs.

A program that is missing is installed with the system's package manager where this account may;
else the tests stop, with one sentence that says what to install.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import redis

from tests.acceptance.service import free_port, until

PACKAGE_MANAGERS: Sequence[tuple[str, Sequence[Sequence[str]]]] = (
    ("apt-get", (("apt-get", "update"), ("apt-get", "install", "--yes"))),
    ("dnf", (("dnf", "install", "--assumeyes"),)),
    ("apk", (("apk", "add"),)),
    ("brew", (("brew", "install"),)),
)


def program(name: str, packages: Sequence[str], variable: str) -> str:
    """The path of an installed program, installed now if need be.

    `packages` are its names for each of PACKAGE_MANAGERS, `variable` what connects another server.
    """
    found = _found(name)
    if found is None:
        _install(packages)
        found = _found(name)
    if found is None:
        pytest.exit(
            f"The tests need {name}: install the package {packages[0]}, or set {variable}.", 2
        )
    return found


def _found(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/local/sbin")


def _install(packages: Sequence[str]) -> None:
    for (manager, steps), package in zip(PACKAGE_MANAGERS, packages, strict=True):
        if shutil.which(manager) is None or (os.geteuid() != 0 and manager != "brew"):
            continue
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for step in steps:
            last = [package] if step is steps[-1] else []
            subprocess.run([*step, *last], env=environment, capture_output=True, timeout=600)
        return


class RedisServer:
    """A Redis of the tests' own, which can go away and come back."""

    def __init__(self, home: Path, binary: str) -> None:
        self._home = home
        self._binary = binary
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        with (self._home / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._binary,
                    *("--port", str(self.port), "--bind", "127.0.0.1"),
                    *("--save", "", "--appendonly", "no", "--dir", str(self._home)),
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self._answers, f"Redis answers; see {self._home / 'redis.log'}")

    def stop(self) -> None:
        """Let it go away, with all that it kept, even if it is frozen."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let it keep its connections, and answer nothing."""
        self._own().suspend()

    def thaw(self) -> None:
        """Let it answer again."""
        self._own().resume()

    def _own(self) -> psutil.Process:
        assert self._process is not None
        return psutil.Process(self._process.pid)

    def _answers(self) -> bool:
        with redis.Redis.from_url(self.url) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False


@contextmanager
def private_redis() -> Iterator[RedisServer]:
    """A Redis of one's own, stopped at the end."""
    binary = program("redis-server", ("redis-server", "redis", "redis", "redis"), "CLUB_REDIS_URL")
    home = Path(tempfile.mkdtemp(prefix="club-redis-"))
    server = RedisServer(home, binary)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(home)
