"""Two Postgres servers of the tests' own behind one address: a primary, and its copy."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
from psycopg.conninfo import make_conninfo

from infra.servers.postgres_server import PostgresServer
from tests.proxy import Proxy, proxy


class Copied(PostgresServer):
    """A server of which there is a copy, or which is one."""

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.socket_folder / ".s.PGSQL.5432"

    def copy(self, home: Path) -> Copied:
        """A running standby of it."""
        twin = Copied(home, home / "postgres")
        twin._make_password()
        twin.password.write_text(self.password.read_text())
        twin.data.mkdir(mode=0o700)
        twin._hand_over(twin.data)
        self._run(
            "pg_basebackup",
            f"--pgdata={twin.data}",
            f"--dbname={self.url('postgres')}",
            "--write-recovery-conf",
            "--checkpoint=fast",
        )
        twin.start()
        return twin

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        """What an administrator does there."""
        with psycopg.connect(self.url("club"), autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only = off")
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def promote(self) -> None:
        """Let it be the primary."""
        self.ask("SELECT pg_promote()")

    def leave(self) -> None:
        """Let it get nothing more from the primary, as behind a network that is slow."""
        self.ask("ALTER SYSTEM SET primary_conninfo = ''")
        self.ask("SELECT pg_reload_conf()")
        while self.ask("SELECT 1 FROM pg_stat_wal_receiver"):
            time.sleep(0.02)

    def close(self) -> None:
        """Let it live on, and take no more writes."""
        self.ask("ALTER SYSTEM SET default_transaction_read_only = on")
        self.ask("SELECT pg_reload_conf()")

    def stand_by(self) -> None:
        """Start it again, as a server that follows another and takes no writes."""
        self.stop()
        (self.data / "standby.signal").touch()
        self.start()

    def freeze(self) -> None:
        """Let it keep its connections, and answer nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it answer again."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for process in self._processes():
            process.send_signal(number)

    def end(self) -> None:
        """Leave nothing running, whatever state it is in."""
        for process in self._processes():
            try:
                process.kill()
                process.wait(10)
            except psutil.NoSuchProcess:
                pass


class Pair:
    """A primary and its copy, and the address that leads to one of them."""

    def __init__(self, old: Copied, new: Copied, address: Proxy) -> None:
        self.old = old
        self.new = new
        self.address = address

    @property
    def url(self) -> str:
        """What the club is told."""
        return make_conninfo(
            host="127.0.0.1",
            port=self.address.port,
            user="club",
            dbname="club",
            password=self.old.password.read_text(),
            sslmode="disable",
            gssencmode="disable",
        )

    def caught_up(self) -> bool:
        """Whether the copy has all that the primary has."""
        ((head,),) = self.old.ask("SELECT coalesce(max(notification_id), 0) FROM ledger_events")
        ((there,),) = self.new.ask("SELECT coalesce(max(notification_id), 0) FROM ledger_events")
        return head == there


@contextmanager
def pair() -> Iterator[Pair]:
    """Two servers behind one address, which leads to the first."""
    # Not below pytest's own folder: each start of pytest takes that from other accounts.
    folder = Path(tempfile.mkdtemp(prefix="club-pair-"))
    servers: list[Copied] = []
    try:
        for name in ("old", "new"):
            (folder / name).mkdir(mode=0o711)
        old = Copied(folder / "old", folder / "old" / "postgres")
        servers.append(old)
        old.start()
        servers.append(Copied(folder / "new", folder / "new" / "postgres"))
        new = old.copy(folder / "new")
        with proxy(old.socket) as address:
            yield Pair(old, new, address)
    finally:
        for server in servers:
            server.end()
        shutil.rmtree(folder)
