"""What the topic brings is taken in once, in order, whatever comes how often and from whom."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from random import Random

import psycopg
import pytest

from infra.chain.intake import Arrived
from infra.chain.records import LONGEST, KeptOut, Record, position_of, stored
from infra.ledger import feed
from projections.catalogue import FIGURES
from tests.infra.chain.scenes import Chain, arrived, ask


async def test_records_of_two_clubs_become_the_rows_that_each_club_has(chain: Chain) -> None:
    """In turns, with repeats, and some that overlap."""
    north, south = chain.clubs
    turns = [
        record
        for both in zip(await north.records(size=40), await south.records(size=40), strict=False)
        for record in both
    ]
    rest = [*await north.records(size=70), *await south.records(size=200)]
    async with chain.intake() as intake:
        await intake.take(arrived(*turns[:6]))
        await intake.take(arrived(*turns[:9]))
        await intake.take(arrived(*turns, *rest))
        await intake.take(arrived(*turns))
    for club in chain.clubs:
        head = await club.head()
        assert await chain.positions(club) == {"documented": head, "figures": head}
        await chain.is_as_its_club(club)
    assert await chain.kept_out() == {}


async def test_a_hole_is_filled_from_the_clubs_ledger_and_never_passed(chain: Chain) -> None:
    """At the beginning, in the middle, and where records come in any order."""
    north, south = chain.clubs
    one, other = await north.records(size=30), await south.records(size=30)
    shuffled = [*one]
    Random(3).shuffle(shuffled)
    async with chain.intake() as intake:
        await intake.take(arrived(*other[1:]))
        assert await chain.positions(south) == {"documented": 0, "figures": 0}
        await intake.take(arrived(*other[:2], *other[3:]))
        assert await chain.positions(south) == {"documented": 60, "figures": 60}
    async with chain.worker() as intake:
        await intake.take(arrived(*shuffled[:4], *other[5:]))
        for club in chain.clubs:
            await chain.reaches(club, await club.head())
        # Nothing comes of what happens now, and it is found all the same.
        await north.more(50)
        await chain.reaches(north, await north.head())
    for club in chain.clubs:
        await chain.is_as_its_club(club)
        assert await chain.standing(club) == {}
    assert await ask(chain.url, "SELECT name FROM chain_clubs WHERE seen_at IS NULL") == []


async def test_several_workers_with_the_same_records_at_once_take_each_once(chain: Chain) -> None:
    north, south = chain.clubs
    records = [*await north.records(size=25), *await south.records(size=25)]
    async with chain.worker() as one, chain.worker() as other, chain.intake() as third:
        parts = [arrived(*records[begin : begin + 5]) for begin in range(0, len(records), 5)]
        for part in parts:
            await asyncio.gather(one.take(part), other.take(part), third.take(part))
        for club in chain.clubs:
            await chain.reaches(club, await club.head())
    for club in chain.clubs:
        await chain.is_as_its_club(club)


async def test_what_does_not_belong_in_the_topic_is_kept_out_and_holds_up_nobody(
    chain: Chain,
) -> None:
    north, south = chain.clubs
    records = await north.records(size=50)
    (theirs, *_) = await south.records()
    rows, head = theirs.rows(), await north.head()
    stranger = Record.pack("nobody", b"secret", 0, b"", rows)
    forged = replace(Record.pack(north.ledger, b"guessed", 0, b"", rows))
    lying = Record.pack(north.ledger, north.secret, 7, b"", rows)
    behind = Record.pack(north.ledger, north.secret, 0, b"", [*rows[:3], *rows[5:]])
    torn = Record.pack(north.ledger, north.secret, 0, b"", [*rows[:3], rows[3][:-4]])
    elsewhere = replace(theirs, ledger=north.ledger)
    strange = arrived(stranger, forged, lying, behind, torn, elsewhere)
    body = theirs.body
    headers: list[tuple[str, bytes | None]] = [*theirs.headers]
    forms: list[tuple[bytes | None, list[tuple[str, bytes | None]], bytes | None]] = [
        (None, [], b"hello"),
        (theirs.key, [], body),
        (theirs.key, headers, None),
        (theirs.key, headers, bytes(LONGEST + 1)),
        (b"other", headers, body),
        (theirs.key, [*headers, ("first", b"-1")], body),
        (theirs.key, [*headers, ("last", b"9" * 40)], body),
        (theirs.key, [*headers, ("mac", b"\xff")], body),
        (theirs.key, [("format", b"2")], body),
        *((theirs.key, [*headers, (name, None)], body) for name, _ in headers),
    ]
    strange += [Arrived.of(*form, 3, 99) for form in forms]
    async with chain.intake() as intake:
        await intake.take([*strange, *arrived(*records), *strange])
    assert await chain.positions(north) == {"documented": head, "figures": head}
    await chain.is_as_its_club(north)
    assert await chain.positions(south) == {"documented": 0, "figures": 0}
    assert sum((await chain.kept_out()).values()) == 2 * len(strange)
    named = await ask(chain.url, "SELECT DISTINCT ledger FROM chain_kept_out ORDER BY 1")
    assert [ledger for (ledger,) in named] == sorted(["", north.ledger])
    assert "its ledger is not in the chain" in await chain.kept_out()


async def test_a_club_that_leaves_is_kept_out_from_then_on(chain: Chain) -> None:
    north, south = chain.clubs
    records = await north.records(size=50)
    async with chain.worker() as intake:
        await intake.take(arrived(records[0]))
        await ask(chain.url, "DELETE FROM chain_clubs WHERE number = %s", north.number)
        await intake.take(arrived(*records))
        async with asyncio.timeout(15):
            while "its ledger is not in the chain" not in await chain.kept_out():
                await intake.take(arrived(*records))
        await chain.reaches(south, await south.head())
    assert await chain.positions(north) == {}


async def test_only_what_the_chain_computes_is_computed(chain: Chain) -> None:
    north, _ = chain.clubs
    await ask(chain.url, "DROP SCHEMA documented_3 CASCADE; DELETE FROM chain_groups")
    await ask(chain.url, "DROP SCHEMA figures_1 CASCADE")
    async with chain.intake([FIGURES]) as intake:
        await intake.take(arrived(*await north.records()))
    assert await chain.positions(north) == {"figures": await north.head()}
    await chain.is_as_its_club(north, [FIGURES])


async def test_a_record_is_read_to_the_byte_as_the_ledger_itself(chain: Chain) -> None:
    north, _ = chain.clubs
    raw = [row for record in await north.records() for row in record.rows()]
    found = feed.read([stored(row)[0][1] for row in raw], 0)
    async with await psycopg.AsyncConnection.connect(north.url) as connection:
        due = await feed.after(connection, 0, len(raw) + 1)
    assert found == due
    assert [position_of(row) for row in raw] == list(range(1, len(raw) + 1))
    body = raw[0] + raw[1]
    for end in range(1, len(body)):
        if end != len(raw[0]):
            with pytest.raises(KeptOut):
                stored(body[:end])
    for at in range(len(raw[0])):
        for value in (b"\x00", b"\x7f", b"\xff"):
            try:
                stored(raw[0][:at] + value + raw[0][at + 1 :])
            except KeptOut:
                continue
