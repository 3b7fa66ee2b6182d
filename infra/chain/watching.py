"""How a chain is doing: its workers, how far behind each of its clubs is, and what is kept out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import psycopg

from infra import parts as known
from infra.chain.store import ChainStore
from infra.health import LATE
from infra.ledger.postgres import Postgres
from infra.ledger.schema import HEAD
from infra.parts import STREAM, Part, Parts

AT_ONCE = 16
"""Ledgers that are asked at once."""

_CLUBS = """
SELECT c.name, c.url, c.ledger, coalesce(json_object_agg(p.group_name, json_build_object(
    'position', p.position, 'reason', p.reason, 'stands_at', p.stands_at, 'topic', p.topic
    )) FILTER (WHERE p.club IS NOT NULL), '{}')
FROM chain_clubs AS c LEFT JOIN chain_positions AS p ON p.club = c.number
    AND (p.group_name || '_' || p.generation) = ANY(%s)
GROUP BY c.number ORDER BY c.name
"""
_KEPT_OUT = """
SELECT k.reason, c.name, k.times, k.partition, k."offset", k.last_at
FROM chain_kept_out AS k LEFT JOIN chain_clubs AS c USING (ledger) ORDER BY k.last_at DESC LIMIT 20
"""
# Where the ledger is, what Kafka has of it, and how old the first event after a position is.
_LEDGER = f"""
SELECT ({HEAD}), (SELECT position FROM ledger_publishing), (
    SELECT extract(epoch FROM clock_timestamp() - recorded_at)::float8 FROM ledger_events
    WHERE notification_id > %s ORDER BY notification_id LIMIT 1)
FROM ledger_identity WHERE id::text = %s
"""  # noqa: S608 - made of constants


@dataclass(frozen=True, slots=True)
class KeptOut:
    """What was not taken from the topic, for one reason."""

    reason: str
    club: str | None
    times: int
    partition: int
    offset: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class ClubState:
    """How far the chain is with a club."""

    name: str
    position: int
    """Of the group that is furthest behind."""
    head: int | None
    """Where its ledger ends; None where nobody knows."""
    published: int | None
    age: float | None
    """Seconds since the first event that is not taken in was recorded."""
    reason: str | None
    """Why it does not go on."""

    @property
    def lag(self) -> int:
        """Events that are not taken in."""
        return 0 if self.head is None else max(0, self.head - self.position)

    @property
    def status(self) -> str:
        """In a word."""
        if self.reason is not None:
            return "standing"
        if self.head is None:
            return "unavailable"
        return "behind" if (self.age or 0.0) > LATE else "running"


@dataclass(frozen=True, slots=True)
class ChainState:
    """How a chain is doing."""

    workers: Sequence[Part]
    clubs: Sequence[ClubState]
    kept_out: Sequence[KeptOut]

    @property
    def status(self) -> str:
        """`running`, or what is worst."""
        if not any(worker.status == "running" for worker in self.workers):
            return "unavailable"
        if any(worker.status != "running" for worker in self.workers):
            return "degraded"
        return next((c.status for c in self.clubs if c.status != "running"), "running")


async def look(store: ChainStore) -> ChainState:
    """Ask the chain's Postgres, and each club's ledger."""
    async with await store.connect(autocommit=True) as connection:
        cursor = await connection.execute(f"SELECT ({known.LOOK})::text".encode())
        row = await cursor.fetchone()
        assert row is not None  # noqa: S101 - a SELECT of an aggregate gives one row
        workers = [p for p in Parts(store.postgres).all(orjson.loads(row[0])) if p.name == STREAM]
        schemas = [group.schema for group in store.groups]
        clubs = await (await connection.execute(_CLUBS, [schemas])).fetchall()
        kept_out = await (await connection.execute(_KEPT_OUT)).fetchall()
    few = asyncio.Semaphore(AT_ONCE)

    async def looked(name: str, url: str, ledger: str, groups: Mapping[str, Any]) -> ClubState:
        async with few:
            return await _club(name, url, ledger, groups)

    states = await asyncio.gather(*(looked(*club) for club in clubs))
    return ChainState(workers, states, [KeptOut(*row) for row in kept_out])


async def _club(name: str, url: str, ledger: str, groups: Mapping[str, Any]) -> ClubState:
    position = min((group["position"] for group in groups.values()), default=0)
    reason = next(filter(None, map(_why, groups.values())), None)
    try:
        async with await Postgres(url).connect({"statement_timeout": "3s"}) as connection:
            row = await (await connection.execute(_LEDGER.encode(), [position, ledger])).fetchone()
    except psycopg.Error:
        row = None
    head, published, age = row or (None, None, None)
    return ClubState(name, position, head, published, age, reason)


def _why(group: Mapping[str, Any]) -> str | None:
    if group["reason"] is None or group["stands_at"] is None:
        reason: str | None = group["reason"]
        return reason
    return f"before position {group['stands_at']} ({group['topic']}): {group['reason']}"
