"""Positions beyond the ledger's end: it was restored to an earlier time than what follows it."""

from __future__ import annotations

from collections.abc import Sequence

from structlog.testing import capture_logs

from domain.recorded import Recorded
from infra.bootstrap import open_club
from infra.following.rebuilding import rebuild
from infra.following.relaying import RELAY, Relay
from infra.ledger.postgres import Postgres
from infra.settings import Settings
from projections.catalogue import DOCUMENTED
from tests.infra.ledger.scenes import look
from tests.projections.histories import History, record, rich
from tests.waiting import until


def restore_earlier(url: str, head: int) -> None:
    """What a restore of an older ledger beside newer tables comes to."""
    look(url, "ALTER TABLE ledger_events DISABLE TRIGGER ledger_is_immutable")
    look(url, "DELETE FROM ledger_events WHERE notification_id > %s", head)
    look(url, "ALTER TABLE ledger_events ENABLE TRIGGER ledger_is_immutable")


def shown(url: str) -> set[int]:
    return {row[0] for row in look(url, "SELECT position FROM read_groups")}


async def test_tables_that_show_more_than_the_ledger_holds_are_built_anew_and_it_is_said(
    database: str, settings: Settings
) -> None:
    events = rich(1).events
    await record(database, events)
    async with open_club(settings) as club:
        assert await club.watch.reached(len(events), 30)
    earlier = len(events) // 2
    restore_earlier(database, earlier)

    async def right() -> bool:
        return shown(database) == {earlier}

    with capture_logs() as logs:
        async with open_club(settings, building=True) as club:
            await until(right, "the tables show what the ledger holds")
            assert club.watch.position <= earlier + 1
            assert (await rebuild(club.postgres, DOCUMENTED)).differing == ()
    said = [log["reason"] for log in logs if log["event"] == "follower.stands-still"]
    assert any(f"the ledger ends at {earlier}" in reason for reason in said)


async def test_who_may_not_build_says_that_the_tables_are_ahead(
    database: str, settings: Settings
) -> None:
    await record(database, History.of([]).events)
    look(database, "UPDATE read_groups SET position = 999")
    async with open_club(settings) as club:

        async def told() -> bool:
            standstills = [p.follower.standstill for p in club.projecting.projectors]
            return all(s is not None and "at position 999" in s.reason for s in standstills)

        await until(told, "each group says so")
    assert shown(database) == {999}


async def test_a_relay_ahead_of_the_ledger_sends_what_comes_next(database: str) -> None:
    events = rich(1).events
    await record(database, events[:3])
    look(database, "INSERT INTO relay_positions VALUES (%s, 999)", RELAY)
    heard: list[int] = []

    async def publish(batch: Sequence[Recorded]) -> None:
        heard.extend(recorded.position for recorded in batch)

    postgres = Postgres(database)
    relay = Relay(postgres, publish)
    async with await postgres.connect() as connection:
        with capture_logs() as logs:
            await relay.step(connection)
        assert [log["event"] for log in logs] == ["relay.ahead-of-the-ledger"]
        assert heard == []
        await record(database, events[3:5], head=3)
        await relay.step(connection)
    assert heard == [4, 5]
