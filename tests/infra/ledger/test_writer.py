"""The group commit: one order for all, and every command answered exactly as it happened."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from application.ports.ledger import (
    AlreadyDone,
    LedgerUnavailable,
    NothingSince,
    OutcomeUnknown,
    Overloaded,
    Receipt,
    ReceiptKey,
    StaleDecision,
)
from infra.ledger import writer as writers
from infra.ledger.postgres import Postgres
from infra.ledger.schema import advance_ledger
from infra.ledger.writer import Writer, WriterStopped
from infra.servers.embedded_postgres import embedded_postgres
from tests.infra.ledger.proxy import Proxy
from tests.infra.ledger.scenes import (
    Batches,
    entry,
    kill_connections,
    log,
    look,
    outcomes,
    until,
    writing,
)

ROOT = Path(__file__).parents[3]

HOLDING_THE_LOCK = "pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted)"
WAITING_FOR_THE_LOCK = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"

LOAD = """
import asyncio, sys
from application.ports.ledger import StaleDecision
from tests.infra.ledger.scenes import entry, outcomes, writing

async def load(url, name):
    async with writing(url) as writer:
        alone = [writer.append(entry(f"{name}-{number}", 1, 2)) for number in range(300)]
        won = 0
        for version in range(1, 41):
            answer = [writer.append(entry("shared", version))]
            won += await outcomes(answer) != [StaleDecision]
        await asyncio.gather(*alone)
    print(won)

asyncio.run(load(*sys.argv[1:]))
"""


@pytest.fixture
async def proxy(database: str) -> AsyncIterator[Proxy]:
    async with Proxy(database).open() as opened:
        yield opened


def receipt(key: str = "key", fingerprint: bytes = b"asked") -> Receipt:
    return Receipt(ReceiptKey("user-1", key), fingerprint, {"body": None, "version": 1})


# --- positions ---------------------------------------------------------------------------------


def positions_after(database: str, position: int) -> list[int]:
    """What a tailing reader reads next."""
    query = "SELECT notification_id FROM ledger_events WHERE notification_id > %s ORDER BY 1"
    return [row[0] for row in look(database, query, position)]


async def test_several_processes_write_one_log_without_gaps(database: str) -> None:
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", LOAD, database, name, cwd=ROOT, stdout=PIPE
        )
        for name in ("red", "green", "blue")
    ]
    said = asyncio.gather(*(process.communicate() for process in processes))
    read = [0]
    while not said.done():
        await asyncio.wait([said], timeout=0.005)
        read += positions_after(database, read[-1])

    assert read == list(range(3 * 600 + 40 + 1)), "what a tailing reader saw"
    assert sum(int(out) for out, _ in await said) == 40, (
        "each version of the shared stream was written once"
    )
    assert look(
        database,
        "SELECT bool_and(recorded_at >= before) FROM (SELECT recorded_at, lag(recorded_at) "
        "OVER (ORDER BY notification_id) AS before FROM ledger_events) AS pairs",
    ) == [(True,)]


async def test_no_reader_passes_the_gap_of_an_open_transaction(database: str, proxy: Proxy) -> None:
    held = proxy.hold_commit()
    async with writing(proxy.url) as slow, writing(database) as fast:
        first = slow.append(entry("thing-1", 1, 2))
        await held.arrived.wait()
        await until(
            database,
            "SELECT 1 FROM pg_locks WHERE relation = 'ledger_events'::regclass "
            "AND mode = 'RowExclusiveLock'",
        )
        second = fast.append(entry("thing-2"))
        await until(database, WAITING_FOR_THE_LOCK)
        assert positions_after(database, 0) == []
        assert not second.done()

        held.release.set()
        assert await first == 2
        assert await second == 3
    assert log(database) == [(1, "thing-1", 1), (2, "thing-1", 2), (3, "thing-2", 1)]


async def test_commands_in_flight_are_committed_together(database: str) -> None:
    batches = Batches()
    async with writing(database, batches) as writer:
        answers = [writer.append(entry(f"thing-{number}", 1, 2)) for number in range(100)]
        assert await outcomes(answers) == [2 * number + 2 for number in range(100)]
    assert batches == [(200, 100)]


async def test_each_event_says_who_when_and_why(database: str) -> None:
    two = entry(
        "thing-1",
        1,
        2,
        command_id="command-1",
        actor="user-7",
        correlation_id="request-3",
        commands=["do-thing", "follow-up"],
        causations=["command-1", "thing-1/1"],
    )
    async with writing(database) as writer:
        await writer.append(two)
    columns = "actor, command, command_id, correlation_id, causation_id"
    assert look(database, f"SELECT {columns} FROM ledger_events ORDER BY notification_id") == [
        ("user-7", "do-thing", "command-1", "request-3", "command-1"),
        ("user-7", "follow-up", "command-1", "request-3", "thing-1/1"),
    ]
    assert look(
        database,
        "SELECT count(*) FROM ledger_events "
        "WHERE recorded_at BETWEEN now() - interval '1 minute' AND now()",
    ) == [(2,)]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE ledger_events SET actor = 'nobody'",
        "DELETE FROM ledger_events",
        "TRUNCATE ledger_events",
    ],
)
async def test_what_is_recorded_stays(database: str, change: str) -> None:
    async with writing(database) as writer:
        await writer.append(entry("thing-1"))
    with pytest.raises(psycopg.errors.RaiseException, match="the ledger is never changed"):
        look(database, change)
    assert look(database, "SELECT actor FROM ledger_events") == [("user-1",)]


# --- commands that fail alone ------------------------------------------------------------------


async def test_a_conflicting_command_fails_alone(database: str) -> None:
    batches = Batches()
    async with writing(database, batches) as writer:
        await writer.append(entry("thing-1"))
        answers = [
            writer.append(entry("thing-2")),
            writer.append(entry("thing-1")),
            writer.append(entry("thing-3", expected={"thing-3": 0, "thing-1": 7})),
            writer.append(entry("thing-4")),
        ]
        assert await outcomes(answers) == [2, StaleDecision, StaleDecision, 3]
    assert batches == [(1, 1), (3, 2)]
    assert log(database) == [(1, "thing-1", 1), (2, "thing-2", 1), (3, "thing-4", 1)]


async def test_of_two_commands_on_one_stream_in_one_batch_exactly_one_wins(database: str) -> None:
    batches = Batches()
    async with writing(database, batches) as writer:
        twins = [writer.append(entry("thing-1")), writer.append(entry("thing-1"))]
        assert await outcomes(twins) == [1, StaleDecision]
    assert batches == [(1, 1)]


async def test_a_command_may_build_on_another_in_the_same_batch(database: str) -> None:
    batches = Batches()
    async with writing(database, batches) as writer:
        answers = [writer.append(entry("thing-1", 1)), writer.append(entry("thing-1", 2))]
        assert await outcomes(answers) == [1, 2]
    assert batches == [(2, 2)]


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("actor", "a\x00b", psycopg.DataError),
        ("correlation_id", "\ud800", UnicodeEncodeError),
        ("receipt", Receipt(ReceiptKey("user-1", "k"), b"", {"body": object()}), TypeError),
        ("expected", {}, psycopg.errors.UniqueViolation),
    ],
)
async def test_what_cannot_be_recorded_at_all_fails_alone(
    database: str, field: str, value: Any, fault: type[Exception]
) -> None:
    async with writing(database) as writer:
        await writer.append(entry("thing-1"))
        answers = [
            writer.append(entry("thing-2")),
            writer.append(entry("thing-1", **{"expected": {}, field: value})),
            writer.append(entry("thing-3")),
        ]
        first, second, third = await outcomes(answers)
    assert (first, third) == (2, 3)
    assert issubclass(second, fault)
    assert [stream for _, stream, _ in log(database)] == ["thing-1", "thing-2", "thing-3"]


async def test_a_batch_that_no_socket_takes_at_once_is_written(database: str) -> None:
    facts = {"note": "x" * 20_000}
    async with writing(database) as writer:
        answers = [writer.append(entry(f"thing-{n}", facts=facts)) for n in range(600)]
        expected = {f"{'other' * 20}-{n}": 0 for n in range(60_000)}
        answers.append(writer.append(entry("thing-600", expected=expected)))
        assert await outcomes(answers) == list(range(1, 602))


# --- decisions that rest on the read tables ----------------------------------------------------


def joined(stream: str, group: int) -> writers.Entry:
    return entry(stream, topic="thing.joined", facts={"group": group})


def nobody_joined(group: int, since: int) -> list[NothingSince]:
    return [NothingSince(since, ("thing.joined", "thing.moved"), "group", group)]


@pytest.mark.parametrize(
    ("group", "since", "outcome"),
    [
        pytest.param(5, 0, StaleDecision, id="somebody joined that the tables did not show"),
        pytest.param(5, 1, 2, id="the tables showed it"),
        pytest.param(6, 0, 2, id="somebody joined another"),
    ],
)
async def test_a_decision_holds_while_nobody_joined(
    database: str, group: int, since: int, outcome: object
) -> None:
    async with writing(database) as writer:
        await writer.append(joined("thing-1", 5))
        closing = entry("group-5", conditions=nobody_joined(group, since))
        assert await outcomes([writer.append(closing)]) == [outcome]


async def test_a_decision_also_falls_to_what_is_ahead_in_its_batch(database: str) -> None:
    async with writing(database) as writer:
        answers = [
            writer.append(joined("thing-1", 5)),
            writer.append(entry("group-5", conditions=nobody_joined(5, 0))),
        ]
        assert await outcomes(answers) == [1, StaleDecision]


async def test_a_decision_does_not_fall_to_what_comes_after_it(database: str) -> None:
    async with writing(database) as writer:
        answers = [
            writer.append(entry("group-5", conditions=nobody_joined(5, 0))),
            writer.append(joined("thing-1", 5)),
        ]
        assert await outcomes(answers) == [1, 2]


# --- receipts ----------------------------------------------------------------------------------


async def test_a_receipt_is_written_in_the_transaction_of_its_events(database: str) -> None:
    async with writing(database) as writer:
        await writer.append(entry("thing-1", receipt=receipt()))
    assert look(
        database,
        "SELECT e.xmin = r.xmin, r.source, r.key, r.fingerprint, r.outcome "
        "FROM ledger_events AS e, ledger_receipts AS r",
    ) == [(True, "user-1", "key", b"asked", {"body": None, "version": 1})]


async def test_a_key_is_good_for_one_command(database: str) -> None:
    async with writing(database) as writer:
        twins = [
            writer.append(entry("thing-1", receipt=receipt())),
            writer.append(entry("thing-2", receipt=receipt())),
            writer.append(entry("thing-3", receipt=receipt("another"))),
        ]
        assert await outcomes(twins) == [1, AlreadyDone, 2]
        again = writer.append(entry("thing-1", receipt=receipt()))
        assert await outcomes([again]) == [AlreadyDone]
    assert len(log(database)) == 2


async def test_a_command_that_fails_leaves_no_receipt(database: str) -> None:
    async with writing(database) as writer:
        stale = writer.append(entry("thing-1", 2, receipt=receipt()))
        assert await outcomes([stale]) == [StaleDecision]
        assert await writer.append(entry("thing-1", receipt=receipt())) == 1
    assert len(look(database, "SELECT 1 FROM ledger_receipts")) == 1


# --- callers -----------------------------------------------------------------------------------


async def test_with_too_many_waiting_the_next_is_refused_at_once(
    database: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers, "MOST_WAITING", 2)
    held = proxy.hold_commit()
    async with writing(proxy.url) as writer:
        answers = [writer.append(entry("thing-1"))]
        await held.arrived.wait()
        answers += [writer.append(entry(f"thing-{number}")) for number in (2, 3)]
        with pytest.raises(Overloaded):
            writer.append(entry("thing-4"))
        held.release.set()
        assert await outcomes(answers) == [1, 2, 3]
        assert await writer.append(entry("thing-4")) == 4


async def test_a_caller_who_left_before_the_batch_leaves_nothing(database: str) -> None:
    async with writing(database) as writer:
        gone = writer.append(entry("thing-1"))
        gone.cancel()
        assert await writer.append(entry("thing-2")) == 1
    assert log(database) == [(1, "thing-2", 1)]


async def test_a_caller_who_leaves_during_the_commit_holds_nobody_up(
    database: str, proxy: Proxy
) -> None:
    held = proxy.hold_commit()
    async with writing(proxy.url) as writer:
        gone = writer.append(entry("thing-1"))
        stays = writer.append(entry("thing-2"))
        await held.arrived.wait()
        gone.cancel()
        held.release.set()
        assert await stays == 2
        assert await writer.append(entry("thing-3")) == 3
    assert [stream for _, stream, _ in log(database)] == ["thing-1", "thing-2", "thing-3"]


async def test_a_writer_that_closes_answers_what_it_took(database: str) -> None:
    async with writing(database) as writer:
        taken = writer.append(entry("thing-1"))
        writer.close()
        with pytest.raises(Overloaded):
            writer.append(entry("thing-2"))
        assert await taken == 1


async def test_a_writer_that_is_stopped_does_not_claim_to_know(database: str, proxy: Proxy) -> None:
    held = proxy.lose_answer_to_commit()
    writer = Writer(Postgres(proxy.url).connect, Batches().add)
    running = asyncio.create_task(writer.run())
    committing = writer.append(entry("thing-1"))
    await held.arrived.wait()
    waiting = writer.append(entry("thing-2"))
    running.cancel()
    assert await outcomes([committing, waiting]) == [OutcomeUnknown, WriterStopped]
    assert log(database) == [(1, "thing-1", 1)]


# --- faults ------------------------------------------------------------------------------------


async def test_a_connection_lost_before_the_commit_is_made_anew(database: str) -> None:
    async with writing(database) as writer:
        await writer.append(entry("thing-1"))
        kill_connections(database)
        answers = [writer.append(entry("thing-1")), writer.append(entry("thing-2"))]
        assert await outcomes(answers) == [StaleDecision, 2]
    assert log(database) == [(1, "thing-1", 1), (2, "thing-2", 1)]


async def test_a_connection_lost_during_the_commit_records_once(
    database: str, proxy: Proxy
) -> None:
    held = proxy.hold_commit()
    async with writing(proxy.url) as writer:
        answers = [writer.append(entry(f"thing-{number}")) for number in (1, 2)]
        await held.arrived.wait()
        kill_connections(database)
        held.release.set()
        assert await outcomes(answers) == [1, 2]
    assert log(database) == [(1, "thing-1", 1), (2, "thing-2", 1)]


async def test_whoever_loses_the_race_after_a_lost_connection_is_told_so(
    database: str, proxy: Proxy
) -> None:
    held = proxy.hold_commit()
    async with writing(proxy.url) as unlucky, writing(database) as lucky:
        loses = unlucky.append(entry("thing-1"))
        await held.arrived.wait()
        wins = lucky.append(entry("thing-1"))
        await until(database, WAITING_FOR_THE_LOCK)
        kill_connections(database, HOLDING_THE_LOCK)
        held.release.set()
        assert await outcomes([loses, wins]) == [StaleDecision, 1]


async def test_a_commit_whose_answer_is_lost_is_found_again(database: str, proxy: Proxy) -> None:
    async with writing(proxy.url) as writer:
        await writer.append(entry("thing-1"))
        cut = proxy.lose_answer_to_commit()
        answers = [
            writer.append(entry("thing-2", 1, 2)),
            writer.append(entry("thing-1")),
            writer.append(entry("thing-3", receipt=receipt())),
        ]
        assert await outcomes(answers) == [3, StaleDecision, 4]
        assert cut.arrived.is_set()
        assert await writer.append(entry("thing-4")) == 5
    assert [stream for _, stream, _ in log(database)] == [
        "thing-1",
        "thing-2",
        "thing-2",
        "thing-3",
        "thing-4",
    ]
    assert len(look(database, "SELECT 1 FROM ledger_receipts")) == 1


async def test_a_bare_receipt_whose_answer_is_lost_is_found_again(
    database: str, proxy: Proxy
) -> None:
    refused = entry("thing-1", events=[], commands=[], causations=[], receipt=receipt())
    cut = proxy.lose_answer_to_commit()
    async with writing(proxy.url) as writer:
        assert await writer.append(refused) == 0
    assert cut.arrived.is_set()
    assert len(look(database, "SELECT 1 FROM ledger_receipts")) == 1


async def test_while_nobody_can_connect_an_open_commit_has_an_unknown_outcome(
    database: str, server: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers, "LONGEST_OUTAGE", 0.2)
    name = conninfo_to_dict(database)["dbname"]
    held = proxy.hold_commit()
    async with writing(proxy.url) as writer:
        committing = writer.append(entry("thing-1"))
        await held.arrived.wait()
        look(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        look(
            server,
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
            name,
        )
        held.release.set()
        assert await outcomes([committing]) == [OutcomeUnknown]
        assert await outcomes([writer.append(entry("thing-2"))]) == [LedgerUnavailable]
        look(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        assert await writer.append(entry("thing-2")) == 1


async def test_a_database_that_gives_way_again_and_again_is_not_tried_for_ever(
    database: str,
) -> None:
    look(
        database,
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION USING ERRCODE = 'disk_full'; END $$",
    )
    look(
        database,
        "CREATE TRIGGER full_disk BEFORE INSERT ON ledger_events EXECUTE FUNCTION full_disk()",
    )
    async with writing(database) as writer:
        answers = [writer.append(entry("thing-1")), writer.append(entry("thing-2"))]
        assert await outcomes(answers) == [LedgerUnavailable, LedgerUnavailable]
        look(database, "DROP TRIGGER full_disk ON ledger_events")
        assert await writer.append(entry("thing-1")) == 1


async def test_a_server_that_may_only_be_read_refuses_nothing_but_writing(database: str) -> None:
    name = conninfo_to_dict(database)["dbname"]
    look(database, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    async with writing(database) as writer:
        answers = [writer.append(entry("thing-1")), writer.append(entry("thing-2"))]
        assert await outcomes(answers) == [LedgerUnavailable, LedgerUnavailable]
        with psycopg.connect(database, options="-c default_transaction_read_only=off") as admin:
            admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only".encode())
        assert await writer.append(entry("thing-1")) == 1


async def test_a_database_that_was_stopped_is_used_again_once_it_is_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Not below pytest's own folder: each start of pytest takes that from other accounts.
    with TemporaryDirectory() as folder, ExitStack() as running:
        home = Path(folder, "club")
        url = running.enter_context(embedded_postgres(home))
        async with await Postgres(url).connect(autocommit=True) as connection:
            await advance_ledger(connection)
        await _outlive(home, url, running.close, monkeypatch)


async def _outlive(
    home: Path, url: str, stop: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with writing(url) as writer:
        assert await writer.append(entry("thing-1")) == 1
        stop()
        with monkeypatch.context() as patient:
            patient.setattr(writers, "LONGEST_OUTAGE", 0.2)
            in_flight = writer.append(entry("thing-2"))
            with pytest.raises(LedgerUnavailable):
                await in_flight
        with pytest.raises(LedgerUnavailable):
            await writer.append(entry("thing-2"))
        with embedded_postgres(home):
            assert await writer.append(entry("thing-2")) == 2
            writer.close()
