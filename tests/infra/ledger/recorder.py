"""The ledger behind the `eventsourcing` library's own interface, for audit and replay tooling.

The library is synchronous, the writer is not: it runs on an event loop in a thread of its own.
What is recorded here goes through the same group commit as everything else.
"""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

import psycopg
from eventsourcing.persistence import (
    ApplicationRecorder,
    IntegrityError,
    Notification,
    OperationalError,
    PersistenceError,
    StoredEvent,
    Subscription,
)

from application.ports.ledger import LedgerUnavailable, Overloaded, StaleDecision
from infra.ledger.postgres import Postgres
from infra.ledger.schema import CHANNEL
from infra.ledger.writer import Entry, Writer

COMMAND = "record-events"
"""What the ledger calls the command of whatever is recorded here."""

BATCH = 500
"""Notifications that a subscription reads at a time."""

POLL = 0.5
"""Seconds after which a subscription looks without having been woken."""

LAST = 2**63 - 1
"""No version and no position comes after this one."""

T = TypeVar("T")

# The events of one aggregate after one version and up to another.
_EVENTS = """
SELECT originator_id, originator_version, topic, state FROM ledger_events
WHERE originator_id = %s AND originator_version > %s AND originator_version <= %s
ORDER BY originator_version LIMIT %s
"""
_EVENTS_BACKWARDS = """
SELECT originator_id, originator_version, topic, state FROM ledger_events
WHERE originator_id = %s AND originator_version > %s AND originator_version <= %s
ORDER BY originator_version DESC LIMIT %s
"""

# The events from one position to another; of all topics where none is named.
_NOTIFICATIONS = """
SELECT originator_id, originator_version, topic, state, notification_id FROM ledger_events
WHERE notification_id >= %s AND notification_id <= %s
  AND (%s::text[] = '{}' OR topic = ANY(%s))
ORDER BY notification_id LIMIT %s
"""
_HEAD = "SELECT max(notification_id) FROM ledger_events"


class LedgerRecorder(ApplicationRecorder):
    """Records and selects events in the ledger; a context manager, to be entered first.

    Conflicts are IntegrityError, a database out of reach is OperationalError.
    """

    def __init__(self, url: str, actor: str = "recorder") -> None:
        """`actor` is who the ledger names for what is recorded here."""
        self._url = url
        self._actor = actor
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="ledger-recorder")
        self._listening: list[Future[None]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self._postgres = Postgres(self._url)
        self._writer = Writer(self._postgres.connect, lambda _head, _commands: None)
        self._opened = threading.Event()
        self._open = self._start(self._keep_open())
        self._opened.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._loop.call_soon_threadsafe(self._writer.close)
            self._open.result()
        finally:
            # Some were stopped before, and are about to close what they were opening.
            for listening in self._listening:
                listening.cancel()
            self._start(_all_ended()).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _keep_open(self) -> None:
        async with self._postgres.open():
            self._opened.set()
            await self._writer.run()

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        """Record all of these or none; returns their positions."""
        if not stored_events:
            return None
        events = [
            StoredEvent(str(e.originator_id), e.originator_version, e.topic, e.state)
            for e in stored_events
        ]
        with _in_the_librarys_words():
            last = self._start(self._append(events)).result()
        return list(range(last - len(events) + 1, last + 1))

    async def _append(self, events: Sequence[StoredEvent]) -> int:
        command_id = uuid.uuid4().hex
        before: dict[str, int] = {}
        for event in events:
            # The library lets a stream begin at 0 or at 1.
            before.setdefault(str(event.originator_id), max(event.originator_version - 1, 0))
        entry = Entry(
            command_id=command_id,
            actor=self._actor,
            correlation_id=command_id,
            events=events,
            commands=[COMMAND] * len(events),
            causations=[command_id] * len(events),
            expected=before,
        )
        return await self._writer.append(entry)

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """The events of one aggregate, after version `gt` and up to version `lte`."""
        after = -1 if gt is None else gt
        to = LAST if lte is None else lte
        sql = _EVENTS_BACKWARDS if desc else _EVENTS
        return [StoredEvent(*row) for row in self._rows(sql, str(originator_id), after, to, limit)]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """The events from position `start` to position `stop`; of all topics if none is named."""
        first = 0 if start is None else start + (not inclusive_of_start)
        last = LAST if stop is None else stop
        rows = self._rows(_NOTIFICATIONS, first, last, list(topics), list(topics), limit)
        return [Notification(*row) for row in rows]

    def max_notification_id(self) -> int | None:
        """The last position; None in an empty ledger."""
        ((head,),) = self._rows(_HEAD)
        return None if head is None else int(head)

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> Subscription[ApplicationRecorder]:
        """The events after position `gt`, and then those to come."""
        return LedgerSubscription(self, gt, topics)

    def listen(self, wake: Callable[[], None]) -> Future[None]:
        """Call `wake` at each batch, from another thread, until the future is cancelled."""
        self._listening.append(self._start(self._listen(wake)))
        return self._listening[-1]

    async def _listen(self, wake: Callable[[], None]) -> None:
        async with await self._postgres.connect(autocommit=True) as connection:
            await connection.execute(f"LISTEN {CHANNEL}".encode())
            async for _ in connection.notifies():
                wake()

    def _rows(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        with _in_the_librarys_words():
            return self._start(self._postgres.rows(sql, params)).result()

    def _start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)


class LedgerSubscription(Subscription[ApplicationRecorder]):
    """Follows the ledger in the thread of whoever iterates; a missed wake-up costs `POLL`."""

    def __init__(self, recorder: LedgerRecorder, gt: int | None, topics: Sequence[str]) -> None:
        super().__init__(recorder, gt, topics)
        self._woken = threading.Event()
        self._read: deque[Notification] = deque()
        self._listening = recorder.listen(self._woken.set)

    def stop(self) -> None:
        """End the iteration, also one that waits in another thread."""
        super().stop()
        self._listening.cancel()
        self._woken.set()

    def __next__(self) -> Notification:
        while not self._has_been_stopped:
            if self._read:
                notification = self._read.popleft()
                self._last_notification_id = notification.id
                return notification
            self._woken.clear()
            if not self._pull():
                self._woken.wait(POLL)
        raise StopIteration

    def _pull(self) -> bool:
        found = self._recorder.select_notifications(
            self._last_notification_id, BATCH, topics=self._topics, inclusive_of_start=False
        )
        self._read.extend(found)
        return bool(found) or self._has_been_stopped


async def _all_ended() -> None:
    """Wait for whatever else runs."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*rest, return_exceptions=True)


@contextmanager
def _in_the_librarys_words() -> Iterator[None]:
    try:
        yield
    except (StaleDecision, psycopg.IntegrityError) as conflict:
        raise IntegrityError(str(conflict)) from conflict
    except (LedgerUnavailable, Overloaded) as later:
        raise OperationalError(str(later)) from later
    except psycopg.Error as fault:
        raise PersistenceError(str(fault)) from fault
