"""A Postgres behind an address that can lead to another: a primary, and a standby that follows it.

The address is a folder for sockets, a link that is led elsewhere: whoever connects from then on
comes to the other server, whoever is connected stays where they are. A commit is answered when
the standby has it, too (`synchronous_standby_names`), so a failover loses nothing that was
acknowledged; without that, the last commits before it may be gone, and no service can help it.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psycopg

from infra.servers.postgres_server import PROGRAMS, PostgresServer
from tests.acceptance.service import until
from tests.faults.verdict import Finding

STANDBY = "standby"
DRAINED = 10.0
"""Seconds in which what was begun on the old primary has to end before it is left."""

_FOLLOWS = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
_WRITING = "SELECT count(*) FROM pg_stat_activity WHERE backend_xid IS NOT NULL"
_BEHIND = """
SELECT count(*) FROM pg_stat_replication WHERE replay_lsn < pg_current_wal_flush_lsn()
"""
_PROMOTED = "SELECT CASE WHEN pg_is_in_recovery() THEN 0 ELSE 1 END"
_HEAD = "SELECT coalesce(max(notification_id), 0) FROM ledger_events"
_LEDGER = """
SELECT md5(string_agg(notification_id || originator_id || topic || state, ' '
    ORDER BY notification_id))
FROM ledger_events WHERE notification_id <= %s
"""


class Cluster:
    """The servers, of which one takes writes."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._address = home / "address"
        self._servers: list[PostgresServer] = []
        """In the order in which they were primary; the last is."""
        self._standby: PostgresServer | None = None

    def start(self, *, replicated: bool) -> str:
        """Start the primary, and a standby where there is to be one; the URL of the address."""
        primary = self._server("primary")
        primary.start()
        self._servers.append(primary)
        self._lead_to(primary)
        if replicated:
            self._standby = self._follower_of(primary)
        return PostgresServer(primary.home, self._address).url("club")

    def restart(self) -> None:
        """As an administrator does who has no patience with connections."""
        self._servers[-1].stop()
        self._servers[-1].start()

    def fail_over(self) -> None:
        """The standby takes over, and the address leads to it; the old primary takes no writes."""
        old, new = self._servers[-1], self._standby
        assert new is not None
        _do(old, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
        until(lambda: _number(old, _WRITING) == 0, "nobody writes there any more", DRAINED)
        until(lambda: _number(old, _BEHIND) == 0, "the standby has everything", DRAINED)
        _do(new, "SELECT pg_promote()")
        until(partial(_number, new, _PROMOTED), "it is promoted")
        self._servers.append(new)
        self._standby = None
        self._lead_to(new)

    def findings(self) -> Iterator[Finding]:
        """Where there was a failover: what the old primary knows is the new one's beginning."""
        if len(self._servers) < 2:
            return
        old, new = self._servers
        head = _number(old, _HEAD)
        same = _ledger(old, head) == _ledger(new, head)
        wrong = () if same else (f"the ledgers differ up to {head}, where the old one ends",)
        yield Finding("nothing recorded by a primary that was left", head, wrong)

    def stop(self) -> None:
        """Leave none running."""
        for server in [*self._servers, *([self._standby] if self._standby else [])]:
            server.stop()

    def _server(self, name: str) -> PostgresServer:
        home = self._home / name
        home.mkdir(mode=0o755, parents=True)
        return PostgresServer(home, home / "postgres")

    def _follower_of(self, primary: PostgresServer) -> PostgresServer:
        standby = self._server(STANDBY)
        source = f"{primary.url('postgres')}&application_name={STANDBY}"
        copied: list[str | Path] = [PROGRAMS / "pg_basebackup", f"--pgdata={standby.data}"]
        copied += [f"--dbname={source}", "--write-recovery-conf", "--checkpoint=fast"]
        subprocess.run(copied, check=True, capture_output=True)
        shutil.copy(primary.password, standby.password)
        if (account := standby.account) is not None:
            for path in (standby.password, standby.data, *standby.data.rglob("*")):
                shutil.chown(path, account.uid, account.gid)
        standby.start()
        _do(
            primary,
            f"ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'",
            "SELECT pg_reload_conf()",
        )
        until(lambda: _number(primary, _FOLLOWS) == 1, "the standby follows")
        return standby

    def _lead_to(self, server: PostgresServer) -> None:
        leading = self._home / "leading"
        leading.symlink_to(server.data)
        leading.rename(self._address)


def _do(server: PostgresServer, *statements: str) -> None:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def _number(server: PostgresServer, sql: str) -> int:
    with psycopg.connect(server.url("club"), autocommit=True) as connection:
        row = connection.execute(sql.encode()).fetchone()
    assert row is not None
    return int(row[0])


def _ledger(server: PostgresServer, head: int) -> str:
    with psycopg.connect(server.url("club")) as connection:
        row = connection.execute(_LEDGER.encode(), [head]).fetchone()
    assert row is not None
    return str(row[0])
