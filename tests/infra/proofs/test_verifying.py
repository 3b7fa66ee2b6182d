"""Whoever changes the ledger is found out, whatever rights they have in the database."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from infra.faults import Fault
from infra.proofs.heads import Outside
from infra.proofs.verifying import verify
from infra.secrets.sealing_key import SealingKey
from tests.infra.ledger.scenes import look
from tests.infra.proofs.scenes import ALL, EVENTS, SEALED, Sealed, sealed
from tests.projections.histories import record

LAST = SEALED[-1]


@pytest.fixture
async def ledger(database: str, tmp_path: Path) -> Sealed:
    return await sealed(database, tmp_path)


async def test_nothing_is_found_where_nothing_was_changed(ledger: Sealed) -> None:
    found = await ledger.verify(list(ledger.outside.all()))
    assert (found.events, found.sealed, found.heads) == (ALL, LAST, len(SEALED))
    assert found.findings == []


async def test_nothing_is_found_in_an_empty_ledger(database: str, tmp_path: Path) -> None:
    found = await Sealed(database, tmp_path).verify()
    assert (found.events, found.sealed, found.heads, found.findings) == (0, 0, 0, [])


async def test_progress_is_told_of_every_event(
    ledger: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.proofs.verifying.CHUNK", 128)
    told: list[int] = []
    async with await ledger.connect() as connection:
        found = await verify(connection, {ledger.key.name: ledger.key.public}, (), told.append)
    assert found.findings == []
    assert sum(told) == ALL
    assert len(told) > 2


TEXTS = ("topic", "actor", "command", "command_id", "correlation_id", "causation_id")
FLIPS = {
    "originator_version": [f"originator_version # (1::bigint << {bit})" for bit in range(63)],
    "state": [f"set_bit(state, {bit}, 1 - get_bit(state, {bit}))" for bit in range(64)],
    "recorded_at": [f"recorded_at + interval '{1 << bit} microseconds'" for bit in range(40)],
    "originator_id": ["originator_id || ' '", "upper(originator_id)"],
    **{
        name: [f"overlay({name} placing chr(ascii({name}) # {1 << bit}) from 1)"]
        for bit, name in enumerate(TEXTS)
    },
}


@pytest.mark.parametrize("column", FLIPS)
async def test_every_bit_of_every_column_counts(ledger: Sealed, column: str) -> None:
    # One event for each bit, all of them changed at once.
    flips = FLIPS[column]
    step = LAST // len(flips)
    at = [1 + n * step for n in range(len(flips))]
    ledger.attack(
        *(
            f"UPDATE ledger_events SET {column} = {flip} WHERE notification_id = {position}"
            for position, flip in zip(at, flips, strict=True)
        )
    )
    found = (await ledger.verify()).findings
    changed = [f for f in found if f.what == "the event was changed"]
    assert {p for f in changed for p in range(f.first, f.last + 1)} == set(at)


async def test_every_bit_of_a_position_counts(ledger: Sealed) -> None:
    at = {1 + 4 * bit: bit for bit in range(64)}
    ledger.attack(
        *(
            f"UPDATE ledger_events SET notification_id = notification_id # (1::bigint << {bit})"
            f" WHERE originator_id = '{EVENTS[position - 1].originator_id}'"
            f" AND originator_version = {EVENTS[position - 1].originator_version}"
            for position, bit in at.items()
        )
    )
    found = (await ledger.verify()).findings
    for position in at:
        assert any(f.first <= position <= f.last for f in found), position


async def test_the_heads_say_from_where_on_the_ledger_is_another(ledger: Sealed) -> None:
    ledger.attack("UPDATE ledger_events SET actor = 'user-2' WHERE notification_id = 129")
    other = "what was sealed up to here is not what is there"
    assert await ledger.found() == [
        "position 129: the event was changed",
        f"position 129: {other}",
        *(f"position {size}: {other}" for size in SEALED if size > 129),
    ]


async def test_a_missing_event_is_named(ledger: Sealed) -> None:
    ledger.attack("DELETE FROM ledger_events WHERE notification_id IN (5, 6, 100)")
    found = await ledger.found()
    assert "positions 5 to 6: the event is missing" in found
    assert "position 100: the event is missing" in found


async def test_the_last_events_are_missed(ledger: Sealed) -> None:
    ledger.attack(f"DELETE FROM ledger_events WHERE notification_id >= {LAST}")
    assert await ledger.found() == [
        f"position {LAST}: sealed, but the ledger ends before",
        f"position {LAST}: the event is missing",
    ]


async def test_an_event_that_was_put_in_is_named(ledger: Sealed) -> None:
    put = (
        "INSERT INTO ledger_events SELECT 'client-999', 1, topic, state, {at}, recorded_at, actor,"
        " command, command_id, correlation_id, causation_id FROM ledger_events"
        " WHERE notification_id = 7"
    )
    ledger.attack(put.format(at=50), put.format(at=0), put.format(at=-(2**63)))
    found = await ledger.found()
    assert f"position {-(2**63)}: an event was added" in found
    assert "position 0: an event was added" in found
    assert [f for f in found if f.startswith("position 50:")] != []


async def test_two_events_that_changed_places_are_named(ledger: Sealed) -> None:
    ledger.attack(
        "UPDATE ledger_events SET notification_id = 320 - notification_id"
        " WHERE notification_id IN (70, 250)"
    )
    found = await ledger.found()
    assert "position 70: the event was moved here from position 250" in found
    assert "position 250: the event was moved here from position 70" in found


async def test_a_deleted_event_whose_gap_was_closed_is_found(ledger: Sealed) -> None:
    ledger.attack(
        "DELETE FROM ledger_events WHERE notification_id = 40",
        "UPDATE ledger_events SET notification_id = notification_id - 1 WHERE notification_id > 40",
    )
    found = await ledger.found()
    for at in range(40, LAST):
        assert f"position {at}: the event was moved here from position {at + 1}" in found


async def test_a_log_that_was_cut_and_grown_again_is_found(ledger: Sealed) -> None:
    ledger.attack("DELETE FROM ledger_events WHERE notification_id > 150")
    await record(ledger.database, EVENTS[160 : 160 + ALL], head=150)
    assert "positions 151 to 290: the event was changed" in await ledger.found()


@pytest.mark.parametrize("level", [0, 1])
async def test_a_changed_tree_is_found_where_the_events_are_as_they_were(
    ledger: Sealed, level: int
) -> None:
    flip = "set_bit(hashes, 9, 1 - get_bit(hashes, 9))"
    ledger.attack(f"UPDATE ledger_tree SET hashes = {flip} WHERE level = {level} AND number = 0")
    found = await ledger.found()
    if level == 0:  # Who of the two was changed the heads tell: they fit the events.
        assert found == ["position 1: the event was changed"]
    else:
        assert found == ["positions 1 to 128: the stored tree is not that of the events"]


@pytest.mark.parametrize("where", ["level = 0 AND number = 1", "level = 1", "number = 2", "true"])
async def test_a_tree_with_a_hole_is_found(ledger: Sealed, where: str) -> None:
    ledger.attack(f"DELETE FROM ledger_tree WHERE {where}")
    assert [f for f in await ledger.found() if "stored tree" in f] != []


@pytest.mark.parametrize(
    "change",
    [
        "root = set_bit(root, 3, 1 - get_bit(root, 3))",
        "signature = set_bit(signature, 3, 1 - get_bit(signature, 3))",
        "moment = moment + interval '1 microsecond'",
        "key = 'another'",
        "size = 199",
    ],
)
async def test_a_changed_head_is_found(ledger: Sealed, change: str) -> None:
    ledger.attack(f"UPDATE ledger_seals SET {change} WHERE position = 200")
    at = 199 if change.startswith("size") else 200
    unsigned = f"position {at}: the head is not signed by a key that is believed"
    assert unsigned in await ledger.found()
    missing = "position 200: the head that is kept outside is not in the database"
    assert missing in await ledger.found(list(ledger.outside.all()))


@pytest.mark.parametrize("number", [3, 10**6, 2**62, 2**63 - 1])
async def test_a_tree_that_says_it_has_no_end_is_found(ledger: Sealed, number: int) -> None:
    ledger.attack(f"INSERT INTO ledger_tree VALUES (0, {number}, decode(repeat('ab', 64), 'hex'))")
    async with asyncio.timeout(20):
        found = await ledger.found()
    end = min(number * 128 + 2, 2**63 - 1)
    assert f"positions 301 to {end}: the event is missing" in found
    with pytest.raises(Fault, match="`club audit verify` says more"):
        await ledger.seal()


async def test_a_tree_and_a_ledger_that_have_no_end_are_found(ledger: Sealed) -> None:
    ledger.attack(
        f"UPDATE ledger_events SET notification_id = {2**62} WHERE notification_id = 300",
        f"INSERT INTO ledger_tree VALUES (0, {2**60}, '')",
    )
    async with asyncio.timeout(20):
        found = await ledger.found()
    assert f"positions 300 to {2**62 - 1}: the event is missing" in found


@pytest.mark.parametrize("moment", ["infinity", "-infinity", "4000-01-01 BC", "20000-01-01"])
async def test_a_moment_that_nobody_can_say_is_found(ledger: Sealed, moment: str) -> None:
    ledger.attack(
        f"UPDATE ledger_seals SET moment = '{moment}' WHERE position = 290",
        f"UPDATE ledger_events SET recorded_at = '{moment}' WHERE notification_id = 100",
    )
    found = await ledger.found()
    assert "position 100: the event was changed" in found
    assert "position 290: the head is not signed by a key that is believed" in found


async def test_a_head_under_another_position_is_found(ledger: Sealed) -> None:
    ledger.attack("UPDATE ledger_seals SET position = 1000 WHERE position = 290")
    assert await ledger.found() == [
        "position 290: the head is in the database under the position 1000"
    ]


@pytest.mark.parametrize("size", [0, -5, 2**63 - 1])
async def test_a_head_of_a_size_that_no_ledger_has_is_found(ledger: Sealed, size: int) -> None:
    ledger.attack(f"UPDATE ledger_seals SET size = {size} WHERE position = 290")
    async with asyncio.timeout(20):
        found = await ledger.found()
    assert f"position {size}: the head is in the database under the position 290" in found
    with pytest.raises(Fault, match="`club audit verify` says more"):
        await ledger.seal()


REWRITTEN = (
    "UPDATE ledger_events SET actor = 'user-2' WHERE notification_id = 60",
    "TRUNCATE ledger_tree",
    "TRUNCATE ledger_seals",
)


async def test_who_rewrites_everything_beside_it_is_found_by_the_heads_outside(
    ledger: Sealed,
) -> None:
    # With the club's own key: nothing in the database tells that it is another history.
    heads = list(ledger.outside.all())
    ledger.attack(*REWRITTEN)
    await ledger.seal()
    assert await ledger.found() == []
    found = await ledger.found(heads)
    for size in SEALED:
        told = f"position {size}: what was sealed up to here is not what is there" in found
        assert told == (size >= 60)


async def test_who_shortens_everything_beside_it_is_found_by_the_heads_outside(
    ledger: Sealed,
) -> None:
    heads = list(ledger.outside.all())
    ledger.attack(
        "DELETE FROM ledger_events WHERE notification_id > 200",
        "TRUNCATE ledger_tree",
        "TRUNCATE ledger_seals",
    )
    await ledger.seal()
    assert await ledger.found() == []
    found = await ledger.found(heads)
    assert "position 290: sealed, but the ledger ends before" in found


async def test_who_has_no_key_cannot_seal_another_history(ledger: Sealed, tmp_path: Path) -> None:
    ledger.attack(*REWRITTEN)
    await Sealed(ledger.database, tmp_path / "forger").seal()
    found = await ledger.found()
    assert found == ["position 300: the head is not signed by a key that is believed"]


async def test_heads_of_a_key_from_before_are_believed_where_it_is_named(
    ledger: Sealed, tmp_path: Path
) -> None:
    before = ledger.key
    (tmp_path / "keys" / "heads.pem").unlink()
    assert len(await ledger.found()) == len(SEALED)
    now = SealingKey.of(tmp_path)
    async with await ledger.connect() as connection:
        found = await verify(connection, {k.name: k.public for k in (before, now)})
    assert found.findings == []


async def test_it_looks_at_one_moment_while_the_club_goes_on(ledger: Sealed) -> None:
    await record(ledger.database, EVENTS[ALL:], head=ALL)
    await ledger.seal()
    assert await ledger.found() == []
    rows = look(ledger.database, "SELECT count(*) FROM ledger_events")
    assert rows == [(len(EVENTS),)]
    assert list(Outside(ledger.home / "nowhere").all()) == []
