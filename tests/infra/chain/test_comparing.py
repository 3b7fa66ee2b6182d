"""`club stream compare`: whatever differs is found, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from typer.testing import Result

from tests.infra.chain.scenes import Chain, arrived, ask, project

Compare = Callable[..., Result]

SPOIL = """
UPDATE documented_3.users SET password_hash = 'secret-word' WHERE (club, id) = (1, 1);
UPDATE documented_3.exercises SET title = 'spoilt' WHERE (club, id) = (1, 1);
DELETE FROM documented_3.client_words WHERE club = 1 AND client_id = 1 AND number = 0;
INSERT INTO documented_3.memberships (club, id, price) VALUES (1, 999, 1), (3, 1, 1);
UPDATE figures_1.figures_money SET asked = asked + 1 WHERE club = 1 AND width = 'month'
"""


@pytest.fixture
def compare(
    command: Callable[..., Result], chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> Compare:
    monkeypatch.setenv("CLUB_CHAIN_DATABASE_URL", chain.url)
    monkeypatch.setenv("CLUB_CHAIN_GROUPS", "documented,figures")
    return lambda *clubs: command("stream", "compare", *clubs)


def test_what_differs_is_told_row_by_row(compare: Compare, chain: Chain) -> None:
    north, south = chain.clubs

    async def take(size: int) -> None:
        async with chain.intake() as intake:
            await intake.take(arrived(*(await north.records(size=size))[:2]))
            await intake.take(arrived(*await south.records()))

    asyncio.run(take(37))
    asyncio.run(project(north.url))
    first = compare()
    assert (first.exit_code, first.stderr) == (0, "")
    assert first.stdout.splitlines() == [
        "north: documented 3, at position 74: nothing differs from its ledger",
        "north: figures 1, at position 74: nothing differs from its ledger",
        "south: documented 3, at position 420: nothing differs from the club's own tables",
        "south: figures 1, at position 420: nothing differs from the club's own tables",
    ]
    asyncio.run(take(420))
    assert compare("north").stdout.splitlines() == [
        f"north: {group}, at position 420: nothing differs from the club's own tables"
        for group in ("documented 3", "figures 1")
    ]
    asyncio.run(ask(chain.url, SPOIL))
    spoilt = compare()
    assert (spoilt.exit_code, spoilt.stderr) == (1, "")
    for said in (
        "users, memberships, client_words, exercises differs from its ledger",
        "  users id 1 password_hash: is (not shown), should be (not shown)",
        "  memberships id 999: is a row, should be (no row)",
        "  exercises id 1 title: is spoilt, should be Exercise 1",
        "figures_money differs from its ledger",
        "south: documented 3, at position 420: nothing differs from the club's own tables",
    ):
        assert said in spoilt.stdout
    assert "secret-word" not in spoilt.stdout


def test_what_cannot_be_told_is_not_called_right(compare: Compare, chain: Chain) -> None:
    north, south = chain.clubs
    assert compare("nobody").exit_code == 1
    assert "no club nobody" in compare("nobody").stderr

    async def spoil() -> None:
        async with chain.intake() as intake:
            await intake.take(arrived(*await north.records(), *await south.records()))
        await ask(
            chain.url, "UPDATE chain_clubs SET url = 'postgresql://127.0.0.1:1/x' WHERE number = 1"
        )
        await ask(chain.url, "UPDATE chain_positions SET digest = 'other' WHERE club = 2")

    asyncio.run(spoil())
    told = compare()
    assert told.exit_code == 2
    assert told.stdout.count("cannot be compared: its ledger cannot be reached") == 2
    assert told.stdout.count("cannot be compared: its ledger went another way") == 2
