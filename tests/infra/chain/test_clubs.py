"""Clubs join a chain, move and leave; what cannot be is refused, and no address is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from typer.testing import Result

from infra.chain.clubs import AnotherLedger, LedgerClosed, NameTaken, again, move, remove
from infra.chain.store import open_chain
from interfaces.cli.stack_chain import join
from tests.conftest import WORKER
from tests.infra.chain.scenes import Chain, admin, arrived, ask, copy
from tests.infra.chain.test_standing import CUT, stands

Command = Callable[..., Result]


@pytest.fixture
def clubs(command: Command, chain: Chain, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`club chain clubs …`, with a chain."""
    monkeypatch.setenv("CLUB_CHAIN_DATABASE_URL", chain.url)
    return lambda *words: command("chain", "clubs", *words)


def refused(answer: Result, words: str) -> None:
    assert (answer.exit_code, answer.stdout) == (1, "")
    assert words in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert "secret-word" not in answer.stderr


def test_clubs_that_cannot_join_or_move_are_told_in_a_sentence(
    clubs: Command, chain: Chain, server: str, database: str
) -> None:
    north, south = chain.clubs
    refused(clubs("add", "East End", database), "1 to 48 of a-z")
    refused(clubs("add", "north", database), "There is a club north")
    refused(clubs("add", "again", north.url), "already, as north")
    refused(clubs("add", "again", "postgresql://a:secret-word@[bad/x"), "not the address")
    for nowhere in ("", " ", "postgresql://"):
        refused(clubs("add", "again", nowhere), "not the address")
        refused(clubs("move", "north", nowhere), "not the address")
    refused(clubs("add", "again", "postgresql://a:secret-word@127.0.0.1:1/x"), "cannot be reached")
    refused(clubs("add", "again", f"host={'x' * 70}.example password=secret-word"), "be reached")
    refused(clubs("add", "chain", chain.url), "a chain of clubs")
    refused(clubs("add", "nothing", make_conninfo(server, dbname="postgres")), "no club in this")
    refused(clubs("remove", "east"), "no club east")
    refused(clubs("again", "east"), "no club east")
    refused(clubs("move", "north", south.url), "its identity is another")


def test_clubs_join_move_and_leave(
    clubs: Command, chain: Chain, server: str, database: str
) -> None:
    north, south = chain.clubs
    name = f"moved_club_{WORKER}"
    moved = copy(server, north.url, name)
    assert clubs("add", "east", database).stdout == "east is in the chain.\n"
    assert clubs("move", "north", moved).exit_code == 0
    assert clubs("remove", "east").exit_code == 0
    with psycopg.connect(chain.url) as connection:
        found = connection.execute("SELECT name, url FROM chain_clubs ORDER BY 1").fetchall()
    assert found == [("north", moved), ("south", south.url)]
    password = str(conninfo_to_dict(server).get("password"))
    assert clubs("list").stdout == "north\nsouth\n"
    assert password not in clubs("list").stdout
    admin(server, f"DROP DATABASE {name} WITH (FORCE)")


async def test_a_stack_that_starts_again_finds_its_clubs_in_the_chain_whatever_they_are_called(
    chain: Chain, server: str, database: str
) -> None:
    north, south = chain.clubs
    name = f"restarted_club_{WORKER}"
    moved = copy(server, north.url, name)
    for _ in range(2):
        await join(chain.url, {"first": moved, "second": database})
    found = await ask(chain.url, "SELECT name, url FROM chain_clubs ORDER BY 1")
    assert found == [("north", moved), ("second", database), ("south", south.url)]
    await ask(chain.url, "DELETE FROM chain_clubs WHERE name = 'second'")
    with pytest.raises(NameTaken, match="a club south"):
        await join(chain.url, {"south": database})
    admin(server, f"DROP DATABASE {name} WITH (FORCE)")


def test_a_club_of_an_older_release_cannot_join(clubs: Command, database: str) -> None:
    admin(database, "DELETE FROM ledger_schema WHERE number >= 8; DROP TABLE ledger_publishing")
    refused_words = clubs("add", "old", database)
    assert refused_words.exit_code == 1
    assert "of an older release" in refused_words.stderr


def test_without_a_chain_it_is_said_so(
    command: Command, monkeypatch: pytest.MonkeyPatch, empty_database: str
) -> None:
    refused(command("chain", "clubs", "list"), "CLUB_CHAIN_DATABASE_URL")
    monkeypatch.setenv("CLUB_CHAIN_DATABASE_URL", empty_database)
    answer = command("chain", "clubs", "remove", "north")
    assert "There is no chain" in answer.stderr


async def test_who_leaves_takes_all_rows_along_and_who_moves_has_to_agree(
    chain: Chain, server: str
) -> None:

    north, south = chain.clubs
    name = f"shorter_club_{WORKER}"
    url = copy(server, north.url, name)
    await ask(url, CUT.format(100))
    async with chain.intake() as intake:
        await intake.take(arrived(*await north.records(), *await south.records()))
        async with open_chain(chain.url) as store:
            with pytest.raises(AnotherLedger, match="shortened"):
                await move(store, "north", url)
            await remove(store, "north")
        await intake.take(arrived(*await north.records()))
    tables = await ask(
        chain.url,
        "SELECT attrelid::regclass::text FROM pg_attribute JOIN pg_class AS c ON c.oid = attrelid"
        " WHERE attname = 'club' AND relkind = 'r'",
    )
    assert len(tables) > 30
    for (table,) in tables:
        assert await ask(chain.url, f"SELECT 1 FROM {table} WHERE club = {north.number}") == []
    await chain.is_as_its_club(south)
    admin(server, f"DROP DATABASE {name} WITH (FORCE)")


async def test_a_club_whose_copy_was_taken_in_comes_back_and_the_copy_is_kept_out(  # noqa: PLR0915
    chain: Chain, server: str
) -> None:
    north, south = chain.clubs
    name = f"restored_club_{WORKER}"
    twin = replace(north, url=copy(server, north.url, name))
    head = await north.head()
    await twin.more(60)
    await north.more(70)
    async with chain.intake() as intake:
        await intake.take(arrived(*await twin.records()))
    assert set((await chain.positions(north)).values()) == {head + 60}
    reader = f"reader_{WORKER}"
    admin(north.url, f"CREATE ROLE {reader} LOGIN PASSWORD 'x'")
    admin(north.url, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader}")
    url = make_conninfo(north.url, user=reader, password="x")
    await ask(chain.url, "UPDATE chain_clubs SET url = %s WHERE name = 'north'", url)
    async with chain.worker() as intake:
        await stands(chain, north, "went another way", "club chain clubs again")
        async with open_chain(chain.url) as store:
            with pytest.raises(LedgerClosed):
                await again(store, "north")
            await again(store, "north", north.url)
        theirs = arrived(*await twin.records())
        await chain.reaches(north, await north.head())
        await twin.more(20)
        await intake.take([*theirs, *arrived(*await twin.records(after=head + 60))])
        assert "its publisher does not know the secret of its ledger" in await chain.kept_out()
        assert await chain.standing(north) == {}
    await chain.is_as_its_club(north)
    await ask(chain.url, "UPDATE chain_clubs SET url = %s WHERE name = 'north'", south.url)
    async with open_chain(chain.url) as store:
        with pytest.raises(AnotherLedger):
            await again(store, "north")
    admin(north.url, f"DROP OWNED BY {reader}")
    admin(north.url, f"DROP ROLE {reader}")
    admin(server, f"DROP DATABASE {name} WITH (FORCE)")
