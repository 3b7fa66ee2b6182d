"""The ledger keeps the promises of the library's recorders: the library's own tests say so.

Its cases for tracking and process recorders and for factories are left out: read tables keep
their own positions, and the ledger is wired by hand. So are its two measurements, which print a
rate and expect nothing; `make bench` measures.
"""

from __future__ import annotations

import sys
from abc import ABC
from collections.abc import Iterator, Sequence
from threading import Thread
from typing import Any
from unittest.mock import Mock, patch
from uuid import uuid4

import psycopg
import pytest
from eventsourcing.persistence import (
    IntegrityError,
    OperationalError,
    PersistenceError,
    StoredEvent,
)

from tests.infra.ledger.recorder import LedgerRecorder

# The cases' module imports the library's cipher, which needs a package that no recorder does.
with patch.dict(sys.modules, {"eventsourcing.cipher": Mock()}):
    from eventsourcing.tests import persistence as library


def stored(stream: str, version: int = 1, topic: str = "topic") -> StoredEvent:
    return StoredEvent(stream, version, topic, b"{}")


@pytest.fixture
def recorder(database: str) -> Iterator[LedgerRecorder]:
    with LedgerRecorder(database) as opened:
        yield opened


class OnTheLedger(library.RecorderTestCase, ABC):
    """What the library's cases need to run on a ledger of the test's own."""

    @pytest.fixture(autouse=True)
    def _with_a_database(self, database: str) -> None:
        self.database = database

    def new_originator_id(self) -> str:
        """Ids are text in our ledger."""
        return str(uuid4())

    def create_recorder(self) -> LedgerRecorder:
        return self.enterContext(LedgerRecorder(self.database))


class TestAnApplicationRecorder(OnTheLedger, library.ApplicationRecorderTestCase[LedgerRecorder]):
    test_performance = None  # type: ignore[assignment] # see above

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestPositionsDoNotInterleave(OnTheLedger, library.NonInterleavingNotificationIDsBaseCase):
    pass


class WithoutPositions(LedgerRecorder):
    """What the library calls an aggregate recorder: the same, but it tells no positions."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> None:
        super().insert_events(stored_events, **kwargs)


class TestAnAggregateRecorder(OnTheLedger, library.AggregateRecorderTestCase):
    test_performance = None  # type: ignore[assignment] # see above

    def create_recorder(self) -> WithoutPositions:
        return self.enterContext(WithoutPositions(self.database))


def test_what_is_recorded_names_who_recorded_it(database: str) -> None:
    with LedgerRecorder(database, actor="auditor") as recorder:
        recorder.insert_events([stored("thing-1"), stored("thing-1", 2)])
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT DISTINCT actor, command, command_id = correlation_id, "
            "command_id = causation_id FROM ledger_events"
        ).fetchall()
    assert rows == [("auditor", "record-events", True, True)]


def test_a_stream_has_no_gaps(recorder: LedgerRecorder) -> None:
    recorder.insert_events([stored("thing-1")])
    with pytest.raises(IntegrityError):
        recorder.insert_events([stored("thing-1", 3)])


def test_two_recorders_share_one_log(recorder: LedgerRecorder, database: str) -> None:
    with LedgerRecorder(database) as other:
        assert recorder.insert_events([stored("thing-1")]) == [1]
        assert other.insert_events([stored("thing-2"), stored("thing-2", 2)]) == [2, 3]
        with pytest.raises(IntegrityError):
            other.insert_events([stored("thing-1")])
        assert recorder.insert_events([stored("thing-1", 2)]) == [4]


def test_a_subscription_hears_of_what_others_record(
    recorder: LedgerRecorder, database: str
) -> None:
    with LedgerRecorder(database) as other, recorder.subscribe() as subscription:
        for number in (1, 2, 3):
            other.insert_events([stored(f"thing-{number}")])
            assert next(subscription).id == number


def test_a_subscription_ends_when_another_thread_stops_it(recorder: LedgerRecorder) -> None:
    heard: list[int] = []
    with recorder.subscribe() as subscription:
        reader = Thread(target=lambda: heard.extend(n.id for n in subscription))
        reader.start()
        recorder.insert_events([stored("thing-1")])
        subscription.stop()
        reader.join(timeout=10)
    assert not reader.is_alive()


def test_a_recorder_closes_over_a_subscription_that_nobody_stopped(database: str) -> None:
    with LedgerRecorder(database) as recorder:
        recorder.insert_events([stored("thing-1")])
        assert next(recorder.subscribe()).id == 1


def test_what_cannot_be_recorded_is_told_in_the_librarys_words(recorder: LedgerRecorder) -> None:
    with pytest.raises(PersistenceError):
        recorder.insert_events([stored("thing-1", topic="a\x00b")])
    assert recorder.insert_events([stored("thing-1")]) == [1]


def test_without_a_database_reading_and_recording_are_refused(
    database: str, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.ledger.postgres.LONGEST_WAIT", 0.5)
    name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    with LedgerRecorder(database) as recorder, psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
        with pytest.raises(OperationalError):
            recorder.insert_events([stored("thing-1")])
        with pytest.raises(OperationalError):
            recorder.max_notification_id()
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())
        assert recorder.insert_events([stored("thing-1")]) == [1]
