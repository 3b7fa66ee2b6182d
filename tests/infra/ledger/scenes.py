"""What the ledger's tests share: a writer at work, entries for it, and a look at the tables."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
import psycopg
from eventsourcing.persistence import StoredEvent

from infra.ledger.postgres import Postgres
from infra.ledger.writer import Entry, Writer

PATIENCE = 30.0
"""Seconds after which a test fails rather than wait on."""


def entry(
    stream: str, *versions: int, topic: str = "thing.done", facts: Any = None, **more: Any
) -> Entry:
    """What a command records in one stream: version 1, or those named."""
    state = orjson.dumps(facts or {})
    events = [StoredEvent(stream, version, topic, state) for version in versions or (1,)]
    command_id = uuid.uuid4().hex
    fields: dict[str, Any] = {
        "command_id": command_id,
        "actor": "user-1",
        "correlation_id": "request-1",
        "events": events,
        "commands": ["do-thing"] * len(events),
        "causations": [command_id] * len(events),
        "expected": {stream: events[0].originator_version - 1},
    }
    return Entry(**{**fields, **more})


class Batches(list[tuple[int, int]]):
    """The head and the number of commands of each batch."""

    def add(self, head: int, commands: int) -> None:
        self.append((head, commands))


@asynccontextmanager
async def writing(url: str, batches: Batches | None = None) -> AsyncIterator[Writer]:
    """A writer at work; at the end everything it took is answered."""
    seen = Batches() if batches is None else batches
    writer = Writer(Postgres(url).connect, seen.add)
    task = asyncio.create_task(writer.run())
    try:
        async with asyncio.timeout(PATIENCE):
            yield writer
            writer.close()
            await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def outcomes(answers: Sequence[asyncio.Future[int]]) -> list[Any]:
    """Each command's position, or the class of its refusal."""
    found = await asyncio.gather(*answers, return_exceptions=True)
    return [type(f) if isinstance(f, BaseException) else f for f in found]


def look(url: str, query: str, *params: Any) -> list[tuple[Any, ...]]:
    """The rows of a query, or what came of a statement."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(query.encode(), params or None)
        return cursor.fetchall() if cursor.description else []


def log(url: str) -> list[tuple[Any, ...]]:
    """The ledger: position, stream and version."""
    query = "SELECT notification_id, originator_id, originator_version FROM ledger_events"
    return look(url, f"{query} ORDER BY notification_id")


async def until(url: str, query: str) -> None:
    """Wait until the query finds something."""
    async with asyncio.timeout(PATIENCE):
        while not look(url, query):  # noqa: ASYNC110 - nobody is told of locks
            await asyncio.sleep(0.01)


def kill_connections(url: str, which: str = "true") -> None:
    """End the service's connections to this database, and wait until they are gone."""
    look(
        url,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        f"WHERE datname = current_database() AND application_name = 'club' AND {which}",
    )
