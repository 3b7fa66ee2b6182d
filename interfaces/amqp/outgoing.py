"""What leaves the club, event by event: the one list of facts that may go out.

Every event goes out, so that whoever counts the sequence sees no hole; of its facts only those
named here. What tells who somebody is, or how they are, stays in the club: names, addresses,
telephone numbers, days of birth, measures, what people wrote, where they signed in from. The only
words of people that leave are the titles of the catalogue of exercises. Others know people by
number, and ask over REST for what they are allowed to see.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from domain.aggregate import Event, time_text

FACTS: Mapping[str, tuple[str, ...]] = {
    "user.registered": ("role",),
    "user.role-changed": ("role",),
    "membership.added": ("access_level", "price"),
    "membership.repriced": ("price",),
    "membership.details-changed": ("access_level",),
    "client.registered": ("user_id", "membership_id", "status"),
    "client.transferred": ("user_id",),
    "client.membership-changed": ("membership_id",),
    "client.admitted": ("payment_id", "paid_at", "days", "until"),
    "client.admission-withdrawn": ("payment_id", "until"),
    "exercise.added": ("title", "muscle_group", "equipment_required", "complexity_lvl"),
    "exercise.retitled": ("title",),
    "exercise.details-changed": ("muscle_group", "equipment_required", "complexity_lvl"),
    "training.planned": ("client_id", "intensity", "duration_min", "date"),
    "training.details-changed": ("intensity", "duration_min", "date"),
    "training.reassigned": ("client_id",),
    "training.exercise-added": ("exercise_id", "order_in_training", "sets", "reps"),
    "training.exercise-changed": ("exercise_id", "order_in_training", "sets", "reps"),
    "training.exercise-removed": ("exercise_id",),
    "training-plan.drawn-up": ("user_id", "status"),
    "training-plan.handed-over": ("user_id",),
    "training-plan.training-added": ("training_id",),
    "training-plan.training-removed": ("training_id",),
    "training-plan.pinned-to-client": ("client_id",),
    "training-plan.unpinned-from-client": ("client_id",),
    "payment.requested": ("client_id", "membership_id", "occurred_at"),
    "payment.details-changed": ("client_id", "membership_id", "timestamp"),
    "payment.settled": ("client_id", "occurred_at"),
    "payment.failed": ("occurred_at",),
    "payment.cancelled": ("occurred_at",),
    "payment.expired": ("occurred_at",),
    "payment.refunded": ("client_id", "occurred_at"),
    "payment.refund-announced": ("occurred_at",),
    "report.drawn-up": ("report_date_start", "report_date_end", "timezone"),
    "session.opened": ("user_id",),
    "session.ended": ("why",),
}
"""The facts of each event that go out; of events that are not here, none does."""

UNNAMED = frozenset({"reservation", "sign-in"})
"""Kinds whose ids do not go out: a digest of an address can be found by trying addresses."""


def facts(event: Event) -> dict[str, Any]:
    """The facts of an event that may go out; of a change, only what changed."""
    known = dict(vars(event))
    del known["timestamp"]  # when it was recorded, which goes out as `time`
    known |= known.get("changes", {})
    return {name: known[name] for name in FACTS.get(event.TOPIC, ()) if name in known}


def cloud_event(
    event: Event, position: int, source: str, correlation_id: str, causation_id: str
) -> bytes:
    """The event as it goes out, in structured JSON.

    `sequence` is its position in the ledger, in twenty digits, so that it sorts as text too.
    """
    kind = event.TOPIC.partition(".")[0]
    said: dict[str, Any] = {
        "specversion": "1.0",
        "id": str(position),
        "source": source,
        "type": event.TOPIC,
        "time": time_text(event.timestamp),
        "datacontenttype": "application/json",
        "sequence": f"{position:020d}",
        "correlationid": correlation_id,
        "causationid": causation_id,
        "data": facts(event),
    }
    if kind not in UNNAMED:
        said["subject"] = event.originator_id
    return orjson.dumps(said)
