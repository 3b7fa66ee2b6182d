"""How one of Celery's workers is doing."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from celery.worker import state

from infra.parts import WORKER
from infra.standstill import Standstill

LONGEST_TASK = 30.0
"""Seconds for which a task may be at work: what time does comes in portions that take less."""


class WorkerWorking:
    """Whether a worker is connected, and whether its tasks come to an end."""

    name = WORKER

    def __init__(self, consumer: Any) -> None:
        """`consumer` is what Celery's worker takes its tasks with."""
        self._consumer = consumer
        self._away: Standstill | None = None

    @property
    def standstill(self) -> Standstill | None:
        """Why no task is done."""
        self._away = None if self._is_connected() else self._away or Standstill(_AWAY)
        return self._away or _stuck()

    def _is_connected(self) -> bool:
        connection = self._consumer.connection
        return connection is not None and bool(connection.connected)


_AWAY = "it takes no tasks: RabbitMQ is away"


def _stuck() -> Standstill | None:
    """A task that does not come to its end, in this process or in one of its pool's."""
    begun = [one.time_start for one in list(state.active_requests) if one.time_start]
    if not begun or time.time() - min(begun) < LONGEST_TASK:
        return None
    since = datetime.fromtimestamp(min(begun), UTC)
    return Standstill("a task does not come to its end", since=since)
