"""A Postgres of the club's own, for machines that have none.

The programs come from a wheel; the data are kept in a folder. Whoever enters `embedded_postgres`
holds the server: the first to come starts it, the last to leave stops it. A holder is a shared
lock on a file, which the kernel lets go of even when the holder is killed, so nothing that was
left behind has to be believed.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from infra.servers.postgres_server import EmbeddedPostgresError, PostgresServer
from infra.servers.processes import has_ended

LONGEST_SOCKET_PATH = 103
"""Bytes that the path of a socket may have on every system (on Linux: 107)."""


class HomeIsNotOurs(EmbeddedPostgresError):
    """This account may not write to {home}: use the account that made it, or another folder."""


@contextmanager
def embedded_postgres(home: Path) -> Iterator[str]:
    """Hold the Postgres whose data are in `home` and yield the URL of its database `club`.

    Any number of processes may hold the same Postgres. The URL carries the password, and is good
    until the block is left.

    Raises EmbeddedPostgresError when Postgres cannot be started or stopped.
    """
    home = home.resolve()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.access(home, os.W_OK | os.X_OK):
        raise HomeIsNotOurs(home=home)
    with (
        _lock_file(home / "postgres.lock") as turn,
        _lock_file(home / "postgres.holders") as holders,
        _short_path(home / "postgres") as socket_folder,
    ):
        server = PostgresServer(home, socket_folder)
        try:
            with _locked(turn):
                fcntl.flock(holders, fcntl.LOCK_SH)
                server.start()
            yield server.url("club")
        finally:
            with _locked(turn):
                if _leave(holders):
                    server.stop()


@contextmanager
def kept_for_others(home: Path) -> Iterator[int]:
    """A file to hand to other processes: as long as one has it open, nobody stops Postgres.

    For whoever holds the Postgres whose data are in `home`.
    """
    with _lock_file(home / "postgres.holders") as holders:
        fcntl.flock(holders, fcntl.LOCK_SH)
        yield holders


def has_database(home: Path) -> bool:
    """Whether there are data of a Postgres in this home."""
    return (home / "postgres" / "PG_VERSION").exists()


def is_up(home: Path) -> bool:
    """Whether the Postgres that this process holds still runs."""
    try:
        pid = int((home / "postgres" / "postmaster.pid").read_text().split()[0])
        return not has_ended(psutil.Process(pid))
    except (FileNotFoundError, IndexError, psutil.NoSuchProcess):
        return False


def start_again(home: Path) -> None:
    """Return when the Postgres that this process holds runs again, in case it was killed."""
    with embedded_postgres(home):
        pass


@contextmanager
def _lock_file(path: Path) -> Iterator[int]:
    # Opened to read, so that an account can share a lock that root made in its folder.
    file = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
    try:
        yield file
    finally:
        os.close(file)


@contextmanager
def _locked(file: int) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _leave(holders: int) -> bool:
    """Let go of the shared lock; true for the last who had it."""
    try:
        fcntl.flock(holders, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        fcntl.flock(holders, fcntl.LOCK_UN)


@contextmanager
def _short_path(folder: Path) -> Iterator[Path]:
    """The folder by a path that is short enough for a client to name the socket in it."""
    if len(os.fsencode(folder / ".s.PGSQL.5432")) <= LONGEST_SOCKET_PATH:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="club-") as private:
        link = Path(private, "postgres")
        link.symlink_to(folder)
        yield link
