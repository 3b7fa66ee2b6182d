"""What must hold at the end, each with what is wrong about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import aio_pika
import psycopg
from aio_pika.abc import AbstractChannel

from interfaces.amqp.topology import PARKING_QUEUE
from tests.faults.messages import Load
from tests.faults.subscriber import Subscriber
from tests.rabbitmq import every_queue, waiting_in

ONCE = (
    "payment.settled",
    "payment.failed",
    "payment.cancelled",
    "payment.expired",
    "payment.refunded",
    "client.admitted",
    "client.admission-withdrawn",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that must hold, how much of it was looked at, and what is wrong."""

    what: str
    looked_at: int
    wrong: tuple[str, ...]
    note: str = ""

    def row(self) -> str:
        verdict = f"MISSED {len(self.wrong)}" if self.wrong else "held"
        return f"{self.what:<58} {self.looked_at:>7,}  {verdict:<12} {self.note}".rstrip()


def _differences(wanted: Mapping[Any, Any], found: Mapping[Any, Any]) -> tuple[str, ...]:
    return tuple(
        f"{key}: {found.get(key)} instead of {wanted.get(key)}"
        for key in sorted({*wanted, *found}, key=str)
        if wanted.get(key) != found.get(key)
    )


def of_tables(load: Load, postgres_url: str) -> Iterator[Finding]:
    """Payments, clients and consequences, in the read tables and in the ledger."""
    with psycopg.connect(postgres_url) as connection:
        connection.execute("SET timezone = 'UTC'")
        rows = connection.execute(
            "SELECT id, payment_status::text, timestamp FROM payments"
        ).fetchall()
        stood: dict[int, str] = dict(
            connection.execute("SELECT id, status::text FROM clients").fetchall()
        )
        until = connection.execute(
            "SELECT DISTINCT ON (originator_id) substr(originator_id, 8)::int,"
            " convert_from(state, 'UTF8')::json ->> 'until' FROM ledger_events"
            " WHERE topic IN ('client.admitted', 'client.admission-withdrawn')"
            " ORDER BY originator_id, originator_version DESC"
        ).fetchall()
        happened = connection.execute(
            "SELECT topic, coalesce(convert_from(state, 'UTF8')::json ->> 'payment_id',"
            " substr(originator_id, 9))::int, count(*) FROM ledger_events"
            " WHERE topic = ANY(%s) GROUP BY 1, 2",
            [list(ONCE)],
        ).fetchall()
    wanted = load.statuses()
    found = {number: (status, _utc(at)) for number, status, at in rows if number in wanted}
    yield Finding(
        "payments in the state that their messages say", len(wanted), _differences(wanted, found)
    )
    ends = {number: _utc(datetime.fromisoformat(end)) for number, end in until if end}
    clients = load.clients()
    yield Finding(
        "clients let in for exactly what was paid",
        len(clients),
        _differences(
            clients, {number: (stood.get(number), ends.get(number)) for number in clients}
        ),
    )
    counts = Counter({(topic, number): count for topic, number, count in happened})
    yield _once("consequences in the ledger, each once", load, counts)


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _once(what: str, load: Load, counts: Counter[tuple[str, int]]) -> Finding:
    wanted = load.consequences()
    topics = {topic for topic, _ in wanted}
    followed = {key: count for key, count in counts.items() if key[0] in topics}
    twice = tuple(f"{key} {n} times" for key, n in counts.items() if key[0] in ONCE and n > 1)
    return Finding(what, len(wanted), _differences(wanted, followed) + twice)


def of_what_went_out(load: Load, subscriber: Subscriber, head: int) -> Iterator[Finding]:
    """The sequence without holes, in order; consequences once there, too."""
    sequences = subscriber.sequences()
    missing = sorted(set(range(1, head + 1)) - set(sequences))
    too_many = sorted(set(sequences) - set(range(1, head + 1)))
    yield Finding(
        "outgoing sequence without a hole",
        head,
        tuple(f"{number} is missing" for number in missing)
        + tuple(f"{number} is none of the ledger's" for number in too_many),
        f"{subscriber.doubles:,} came more than once",
    )
    wrong = [
        f"{later} after {earlier}" for earlier, later in pairwise(sequences) if later < earlier
    ]
    yield Finding("outgoing sequence in order", len(sequences), tuple(wrong))
    yield _once("consequences that went out, each once", load, subscriber.happened())


async def of_queues(load: Load, channel: AbstractChannel) -> list[Finding]:
    """Nothing is left over, and what could not work is kept with its reason."""
    waiting = {name: await waiting_in(channel, name) for name in every_queue()}
    parked: dict[str, str] = {}
    copies = 0
    queue = await channel.get_queue(PARKING_QUEUE)
    while (message := await queue.get(fail=False)) is not None:
        copies += 1
        parked[str(message.message_id)] = str(message.headers["club-reason"])
    return [
        Finding(
            "queues and retry queues, empty",
            len(waiting),
            tuple(f"{name} has {many}" for name, many in waiting.items() if many),
        ),
        Finding(
            "bad messages parked, with their reasons",
            len(load.bad),
            _differences(load.bad, parked),
            f"{copies - len(parked)} parked more than once",
        ),
    ]


async def nothing_left(url: str) -> bool:
    """Whether no message waits anywhere, at this moment."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        return not any([await waiting_in(channel, name) for name in every_queue()])
