"""Celery's processes as parts of the service: its beat and its workers say how they are doing.

Its beat bears a clock that is put back, too.
"""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import structlog
from celery.beat import PersistentScheduler, SchedulingError
from celery.exceptions import Retry
from celery.worker import state
from celery.worker.request import ExceptionWithTraceback
from celery.worker.request import Request as CeleryRequest

from infra.parts import BEAT, REPORT_WORKER, REPORTS, TASKS, WORKER
from infra.standstill import Standstill
from infra.timers import undone

LONGEST_PAUSE = 5
"""Seconds between two looks at what is due."""

LONGEST_ANSWER = 10
"""Seconds for which RabbitMQ is waited for, whatever it is asked."""

LAST_ANSWER = 2
"""Seconds for each answer once this process was told to end."""

STUCK = 15.0
"""Seconds without a look after which beat counts as standing still: RabbitMQ takes nothing."""

AHEAD = timedelta(seconds=10)
"""How far in the future something may have been done: clocks differ by that."""

LONG_AGO = timedelta(days=1)

SOFT_LIMIT = 240
"""Seconds after which a task of reports is told to end; what it has taken in stays."""

HARD_LIMIT = 300
"""Seconds after which its process is ended."""


def hurry(consumer: Any) -> None:
    """Have a worker wait for RabbitMQ a moment at most: it may be frozen, and the worker ends."""
    if _is_connected(consumer):
        limit = struct.pack("ll", LAST_ANSWER, 0)
        connection = consumer.connection.connection
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)


def _is_connected(consumer: Any) -> bool:
    connection = consumer.connection
    return connection is not None and bool(connection.connected)


class Kind(NamedTuple):
    """What a worker of a queue is called, and for how many seconds a task of it may be at work."""

    name: str
    longest: float


KINDS = {
    # What time does comes in portions that take less.
    TASKS: Kind(WORKER, 30.0),
    REPORTS: Kind(REPORT_WORKER, HARD_LIMIT + 30.0),
}

logger = structlog.get_logger("tasks")


class BeatWorking:
    """Whether beat looks at what is due, and whether RabbitMQ takes what it sends."""

    name = BEAT

    def __init__(self) -> None:
        self._looked = time.monotonic()
        self._refused: Standstill | None = None

    @property
    def standstill(self) -> Standstill | None:
        """Why nothing that is due is sent."""
        quiet = time.monotonic() - self._looked
        if quiet > STUCK:
            return Standstill.of_silence(
                "what is due is not sent: RabbitMQ does not take it", quiet
            )
        return self._refused

    def looks(self) -> None:
        """It looks at what is due now."""
        self._looked = time.monotonic()

    def sent(self) -> None:
        """RabbitMQ has taken a task."""
        self._refused = None

    def refused(self, fault: Exception) -> None:
        """A task could not be sent."""
        if self._refused is None:
            self._refused = Standstill(f"what is due cannot be sent: {type(fault).__name__}")


working = BeatWorking()
"""How the beat of this process is doing: Celery makes its scheduler itself."""


class Beat(PersistentScheduler):  # type: ignore[misc]
    """Sends what is due."""

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        """Look at what is due; answers in how many seconds to look again."""
        working.looks()
        self._forget_the_future()
        return super().tick(*args, **kwargs)

    def close(self) -> None:
        """Keep the schedule, and let go of RabbitMQ without a word.

        A signal ends this in the middle of whatever it is at, also of a talk with RabbitMQ: taking
        leave would then wait for an answer for ever. Celery looks for a connection in the same way.
        """
        connection = self.__dict__.get("connection")
        if connection is not None:
            connection.collect()
        super().close()

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send a task that is due; where that cannot be, it is said in a line."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as refused:
            logger.warning("beat.not-sent", task=entry.name, reason=str(refused))

    def apply_async(
        self, entry: Any, producer: Any = None, advance: bool = True, **more: Any
    ) -> Any:
        """Send a task; raises SchedulingError where that cannot be."""
        try:
            result = super().apply_async(entry, producer=producer, advance=advance, **more)
        except Exception as fault:
            working.refused(fault)
            raise
        working.sent()
        return result

    def _forget_the_future(self) -> None:
        """What was last done in the future was done before the clock was put back: do it now.

        What is sent once more by that happens once.
        """
        now = datetime.now(UTC)
        ahead = [
            entry for entry in self.schedule.values() if _aware(entry.last_run_at) > now + AHEAD
        ]
        for entry in ahead:
            logger.warning(
                "beat.clock-put-back", task=entry.name, last_run_at=str(entry.last_run_at)
            )
            entry.last_run_at = entry.default_now() - LONG_AGO
        if ahead:
            self._heap = None


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


class Ended:
    """How the newest task of each name ended that this worker took, whichever process did it."""

    def __init__(self) -> None:
        self._faults: dict[str, tuple[str, Standstill]] = {}

    def well(self, name: str) -> None:
        """It was done."""
        self._faults.pop(name, None)

    def badly(self, name: str, where: str, fault: Exception) -> None:
        """It was not, and is tried again or not."""
        why, before = undone(name, fault), self._faults.get(name)
        since = why.since if before is None else before[1].since
        self._faults[name] = where, replace(why, since=since)

    def standstill(self, queue: str) -> Standstill | None:
        """Why a task of this queue was not done, and since when."""
        # What was tried again comes with the time that it waited before the name.
        faults = [why for where, why in list(self._faults.values()) if where.endswith(queue)]
        return min(faults, key=lambda why: why.since, default=None)


ended = Ended()
"""How the tasks of this worker ended: Celery makes requests itself."""


class Request(CeleryRequest):  # type: ignore[misc]
    """A task in the hand of the worker, which notes how it ended."""

    def acknowledge(self) -> None:
        """Tell RabbitMQ that it need not come again."""
        super().acknowledge()
        if self.id in state.successful_requests:
            ended.well(self.name)

    def on_retry(self, exc_info: Any) -> None:
        """It will be tried again."""
        super().on_retry(exc_info)
        self._badly(exc_info.exception)

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> None:
        """It will not; Celery tells here of what will be, too."""
        super().on_failure(exc_info, *args, **kwargs)
        self._badly(exc_info.exception)

    def _badly(self, fault: Exception) -> None:
        if isinstance(fault, ExceptionWithTraceback):
            fault = fault.exc
        if isinstance(fault, Retry):
            fault = fault.exc
        ended.badly(self.name, self.delivery_info["routing_key"], fault)


class WorkerWorking:
    """Whether a worker is connected, and whether its tasks of a queue come to a good end."""

    def __init__(self, consumer: Any, queue: str) -> None:
        """`consumer` is what Celery's worker takes its tasks with."""
        self.name, self._longest = KINDS[queue]
        self._queue = queue
        self._consumer = consumer
        self._away: Standstill | None = None

    @property
    def standstill(self) -> Standstill | None:
        """Why no task is done."""
        self._away = None if _is_connected(self._consumer) else self._away or Standstill(_AWAY)
        return self._away or self._stuck() or ended.standstill(self._queue)

    def _stuck(self) -> Standstill | None:
        """A task that does not come to its end, in this process or in one of its pool's."""
        begun = [
            one.time_start
            for one in list(state.active_requests)
            # What was tried again comes with the time that it waited before the name.
            if one.time_start and one.delivery_info["routing_key"].endswith(self._queue)
        ]
        if not begun or time.time() - min(begun) < self._longest:
            return None
        since = datetime.fromtimestamp(min(begun), UTC)
        return Standstill("a task does not come to its end", since=since)


_AWAY = "it takes no tasks: RabbitMQ is away"
