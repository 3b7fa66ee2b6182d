"""How far the ledgers of a chain's clubs are, as they are seen from the chain."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from infra.chain.heads import Heads
from infra.chain.store import open_chain
from projections.catalogue import FIGURES
from tests.acceptance.service import CHECKOUT
from tests.projections.histories import record, rich

EVENTS = rich(40).events
ROLE = "chain_reads"


@pytest.fixture
async def chain(empty_database: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """The database of a chain without clubs."""
    async with open_chain(empty_database, (FIGURES,), building=True):
        pass
    async with await psycopg.AsyncConnection.connect(empty_database, autocommit=True) as connection:
        yield connection


def heads(chain: psycopg.AsyncConnection[Any]) -> Heads:
    async def rows(sql: str, params: Any) -> list[tuple[Any, ...]]:
        cursor = await chain.execute(sql.encode(), params)
        return await cursor.fetchall() if cursor.description else []

    return Heads(rows, (FIGURES,))


async def join(
    chain: psycopg.AsyncConnection[Any], name: str, url: str, *, at: int = 0, ledger: str = ""
) -> int:
    """A club whose ledger is there, of which so much is taken in."""
    if not ledger:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            found = await connection.execute("SELECT id::text FROM ledger_identity")
            ledger = str((await found.fetchall())[0][0])
    made = await chain.execute(
        "INSERT INTO chain_clubs (name, ledger, url, secret) VALUES (%s, %s, %s, '') "
        "RETURNING number",
        [name, ledger, url],
    )
    ((number,),) = await made.fetchall()
    await chain.execute(
        "INSERT INTO chain_positions (group_name, generation, club, position) "
        "VALUES ('figures', %s, %s, %s)",
        [FIGURES.generation, number, at],
    )
    return int(number)


async def seen(chain: psycopg.AsyncConnection[Any]) -> dict[str, tuple[Any, ...]]:
    found = await chain.execute(
        "SELECT name, seen_at IS NOT NULL, head, published, waiting_since FROM chain_clubs"
    )
    return {name: tuple(more) for name, *more in await found.fetchall()}


async def test_a_ledger_is_seen_and_one_that_is_away_or_another_holds_up_nobody(
    chain: psycopg.AsyncConnection[Any], database: str
) -> None:
    await record(database, EVENTS)
    async with await psycopg.AsyncConnection.connect(database) as club:
        await club.execute("UPDATE ledger_publishing SET position = 7")
        at = await club.execute("SELECT recorded_at FROM ledger_events WHERE notification_id = 6")
        ((recorded_at,),) = await at.fetchall()
    # It takes connections, and says nothing.
    frozen = socket.create_server(("127.0.0.1", 0))
    await join(
        chain, "frozen", f"postgresql://127.0.0.1:{frozen.getsockname()[1]}/club", ledger="0"
    )
    await join(chain, "away", "postgresql://127.0.0.1:1/club", ledger="1")
    await join(chain, "nonsense", "no address at all", ledger="3")
    await join(chain, "another", database, ledger="2")
    await join(chain, "here", database, at=5)
    with frozen:
        await heads(chain).look()
    assert await seen(chain) == {
        "frozen": (False, 0, 0, None),
        "away": (False, 0, 0, None),
        "nonsense": (False, 0, 0, None),
        "another": (False, 0, 0, None),
        "here": (True, len(EVENTS), 7, recorded_at),
    }
    await chain.execute("UPDATE chain_positions SET position = %s", [len(EVENTS)])
    await heads(chain).look(60)
    assert (await seen(chain))["here"][-1] == recorded_at, "it was seen a moment ago"
    await heads(chain).look()
    assert (await seen(chain))["here"][-1] is None


async def test_what_waits_is_that_of_the_tables_that_the_chain_computes_and_that_go_on(
    chain: psycopg.AsyncConnection[Any], database: str
) -> None:
    await record(database, EVENTS)
    club = await join(chain, "here", database, at=5)
    for group, generation in (("documented", 1), ("figures", FIGURES.generation + 1)):
        await chain.execute("INSERT INTO chain_groups VALUES (%s, %s, '')", [group, generation])
        await chain.execute(
            "INSERT INTO chain_positions VALUES (%s, %s, %s, 0)", [group, generation, club]
        )
    await heads(chain).look()
    after = "SELECT waiting_after FROM chain_clubs"
    assert await (await chain.execute(after)).fetchone() == (5,)


async def test_a_moment_that_cannot_be_keeps_no_ledger_from_being_seen(
    chain: psycopg.AsyncConnection[Any], database: str
) -> None:
    await record(database, EVENTS)
    await join(chain, "here", database, at=5)
    for moment in ("infinity", "-infinity", "10000-01-01Z", "0001-01-01 BC"):
        with psycopg.connect(database) as owner:
            owner.execute("SET session_replication_role = replica")  # no trigger
            owner.execute("UPDATE ledger_events SET recorded_at = %s", [moment])
        await chain.execute("UPDATE chain_clubs SET seen_at = NULL")
        await heads(chain).look()
        assert await seen(chain) == {"here": (True, len(EVENTS), 0, None)}, moment


async def test_the_role_of_the_page_is_all_that_a_chain_needs_in_a_ledger_and_no_more(
    chain: psycopg.AsyncConnection[Any], database: str, server: str
) -> None:
    await record(database, EVENTS)
    _, _, after = (CHECKOUT / "docs/security.md").read_text().partition("```sql\n")
    block = after.partition("```")[0].replace("chain_of_north", ROLE)
    with psycopg.connect(database, autocommit=True) as admin:
        block = block.replace("DATABASE club", f"DATABASE {admin.info.dbname}")
        admin.execute(block.encode())
        try:
            url = make_conninfo(database, user=ROLE, password="a password of its own")
            await join(chain, "North", url)
            await heads(chain).look()
            assert (await seen(chain))["North"][:2] == (True, len(EVENTS))
            with psycopg.connect(url, autocommit=True) as reader:
                for table in ("users", "clients", "ledger_receipts", "figures_money"):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        reader.execute(f"SELECT FROM {table}".encode())
                for change in (
                    "INSERT INTO ledger_identity DEFAULT VALUES",
                    "UPDATE ledger_publishing SET position = 0",
                    "DELETE FROM ledger_events",
                ):
                    with pytest.raises(psycopg.Error):
                        reader.execute(change.encode())
        finally:
            admin.execute(f"DROP OWNED BY {ROLE}".encode())
            admin.execute(f"DROP ROLE {ROLE}".encode())
