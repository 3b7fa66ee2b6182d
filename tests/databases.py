"""What an administrator does to a database under a running club."""

from __future__ import annotations

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from infra.bootstrap import Club
from infra.ledger.postgres import Postgres


async def read_only(url: str, *, on: bool) -> None:
    """Let the database take no writes, or take them again, from connections made from now on."""
    name = conninfo_to_dict(url)["dbname"]
    alter = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}").format(
        sql.Identifier(str(name)), sql.Literal("on" if on else "off")
    )
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("SET default_transaction_read_only = off")
        await connection.execute(alter)
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


async def takes_writes(club: Club) -> bool:
    """Whether the club can record, as its health says."""
    return (await club.health()).able


async def relay_lag(postgres: Postgres, name: str) -> int | None:
    """How many events are still to go out; None where no relay has ever run."""
    rows = await postgres.rows(
        "SELECT (SELECT coalesce(max(notification_id), 0) FROM ledger_events) - position"
        " FROM relay_positions WHERE name = %s",
        [name],
    )
    return int(rows[0][0]) if rows else None
