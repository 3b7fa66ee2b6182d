"""Events in the ledger that this release cannot read, or trips over."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson
import psycopg

AT = {"_type_": "datetime_iso", "_data_": "2026-03-02T09:30:00+00:00"}


class Poison(NamedTuple):
    """What is wrong with an event of a client."""

    topic: str
    state: bytes
    why: str
    """What is said of it."""


def _state(**facts: Any) -> bytes:
    return orjson.dumps({"timestamp": AT, **facts})


POISONS = {
    "of a newer release": Poison("client.frozen", _state(until="2026-05-01"), "does not know"),
    "of a newer version": Poison(
        "client.activated", _state(class_version=7), "stored in version 7"
    ),
    "of a version without sense": Poison(
        "client.activated", _state(class_version="x"), "is no number"
    ),
    "not JSON": Poison("client.activated", b'{"timestamp', "while it was read"),
    "not text": Poison("client.activated", b"\xff\xfe\x00", "while it was read"),
    "not an object": Poison("client.activated", b"[1]", "while it was read"),
    "without a moment": Poison("client.activated", b"{}", "while it was read"),
    "of a module": Poison("os:system", _state(), "does not know"),
    "that trips the projector": Poison(
        "client.details-changed", _state(changes=7), "its projector failed"
    ),
    "without its facts": Poison("client.transferred", _state(), "facts are missing"),
    "that the table refuses": Poison(
        "client.details-changed", _state(changes={"first_name": "x" * 51}), "value too long"
    ),
}


def put(database: str, poison: Poison, stream: str) -> int:
    """Put it behind all that is in the ledger, as the next event of this stream; its position."""
    with psycopg.connect(database, autocommit=True) as connection:
        row = connection.execute(
            """
            INSERT INTO ledger_events (
                originator_id, originator_version, topic, state, notification_id,
                actor, command, command_id, correlation_id, causation_id)
            SELECT %(stream)s, coalesce(max(originator_version) FILTER (
                       WHERE originator_id = %(stream)s), 0) + 1,
                   %(topic)s, %(state)s, max(notification_id) + 1, 'a', 'b', 'c', 'd', 'e'
            FROM ledger_events RETURNING notification_id
            """,
            {"stream": stream, "topic": poison.topic, "state": poison.state},
        ).fetchone()
    assert row is not None
    return int(row[0])
