"""Adds a stored sample of each event version that has none to `released_events.json`.

    python -m tests.infra.ledger.release_events

Run it when an event class, or a new version of one (`class_version`), is about to be released,
and commit the file. Samples are only ever added: what was released once can be in somebody's
ledger for ever, so the ones that are there must go on loading.

A field without an example below is asked for by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import orjson

import domain
from domain.aggregate import CreatedEvent, Event
from infra.ledger.mapper import OrjsonTranscoder

RELEASED = Path(__file__).with_name("released_events.json")

COMMON = ("originator_id", "originator_version", "timestamp", "originator_topic")
A_MOMENT = datetime(2026, 3, 2, 9, 30, 0, 123456, tzinfo=UTC)

EXAMPLES: dict[str, Any] = {
    "access_level": "PREMIUM",
    "agent": "curl/8.9",
    "again_at": "2026-03-02T09:45:00.000000Z",
    "amount": "49.90",
    "attempt": 1,
    "asked": "/history/clients/5/?limit=50",
    "client_id": 5,
    "collector": "provider-acme",
    "complexity_lvl": "BEGINNER",
    "daily": True,
    "daily_report_at": "08:00",
    "date": "2026-05-04",
    "date_of_birth": "1990-12-10",
    "day": "2026-03-02",
    "days": 30,
    "description": "für alle, mit “Anführung” 🏋",
    "duration_min": 45,
    "email": "ada@example.com",
    "ends_at": "2026-04-01T09:30:00.000000Z",
    "ends_before": "2026-02-28T23:00:00.000000Z",
    "equipment_required": True,
    "exercise_id": 3,
    "expires_at": "2026-03-09T09:30:00.123456Z",
    "extra_weight": "2.50",
    "first_name": "Ada",
    "gender": "FEMALE",
    "generation": 2,
    "height_sm": "168.00",
    "holder": "user-7",
    "intensity": "HIGH",
    "kept_seconds": 2_592_000,
    "last_name": "Lovelace",
    "membership_id": 2,
    "muscle_group": "LEGS",
    "number_of_collection": 1,
    "number_of_secret": 2,
    "occurred_at": "2026-03-02T09:15:00.000000Z",
    "order_in_training": 1,
    "origin": "192.0.2.7",
    "page": "overview",
    "paid_days": 30,
    "payment_patience_hours": 24,
    "shared_memberships": False,
    "paid_at": "2026-03-02T09:15:00.000000Z",
    "password_hash": "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2g",
    "payment_id": 9,
    "phone_number": "+44 20 7946 0000",
    "price": "49.90",
    "reason": "The pool was closed.",
    "reference": "pi_3Nq",
    "report_date_end": "2026-02-28",
    "report_date_start": "2026-02-01",
    "reps": 10,
    "resumed_at": "2026-03-12T09:15:00.000000Z",
    "rest_time_sec": 60,
    "role": "USER",
    "seal": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "session_id": 8,
    "sets": 3,
    "since": "2026-03-02T09:15:00.000000Z",
    "starts_at": "2026-01-31T23:00:00.000000Z",
    "status": "ACTIVE",
    "telegram_id": 5_000_000_007,
    "timezone": "Europe/Berlin",
    "title": "Deep squat",
    "training_id": 4,
    "training_type": "STRENGTH",
    "until": "2026-04-01T09:15:00.000000Z",
    "user_id": 7,
    "username": "ada",
    "weight_kg": "61.50",
    "why": "logged-out",
    "subscription.delivery-failed.state": "failed",
    "subscription.delivery-failed.reason": "Forbidden: bot was blocked by the user",
    "sign-in.failed.why": "wrong-password",
    "client.details-changed.changes": {"phone_number": "+44 20 7946 0001", "gender": None},
    "exercise.details-changed.changes": {"equipment_required": False, "muscle_group": "HIPS"},
    "membership.details-changed.changes": {"access_level": "VIP", "description": None},
    "payment.details-changed.changes": {"client_id": 6, "membership_id": 2},
    "rules.changed.changes": {"paid_days": 31, "timezone": "Europe/Lisbon"},
    "training.details-changed.changes": {"duration_min": 60, "date": None},
    "training.exercise-changed.changes": {"sets": 5, "extra_weight": None},
    "training-plan.details-changed.changes": {"description": "later"},
}
"""What a field holds in a sample: of one event (`topic.field`), or of all that have it."""

Sample = dict[str, Any]


def event_classes(base: type[Event] = Event) -> Iterator[type[Event]]:
    """Every class of event of the club, the first events of aggregates before the others."""
    for module in iter_modules(domain.__path__):
        import_module(f"domain.{module.name}")
    for kind in base.__subclasses__():
        if "TOPIC" in kind.__dict__ and kind.__module__.startswith("domain."):
            yield kind
        yield from event_classes(kind)


def version_of(kind: type[Event]) -> int:
    """The version of a class of events that the code writes."""
    return int(getattr(kind, "class_version", 1))


def sample(kind: type[Event]) -> Sample:
    """What the ledger keeps of an event of this class today."""
    names = [field.name for field in fields(kind) if field.name not in COMMON]  # type: ignore[arg-type]
    facts: dict[str, Any] = {"timestamp": A_MOMENT}
    if issubclass(kind, CreatedEvent):
        facts["originator_topic"] = kind.TOPIC.partition(".")[0]
    for name in names:
        of_this = f"{kind.TOPIC}.{name}"
        facts[name] = EXAMPLES[of_this if of_this in EXAMPLES else name]
    if version_of(kind) > 1:
        facts["class_version"] = version_of(kind)
    state = orjson.loads(OrjsonTranscoder().encode(facts))
    return {"topic": kind.TOPIC, "class_version": version_of(kind), "state": state}


def released() -> list[Sample]:
    """The samples that there are."""
    return list(orjson.loads(RELEASED.read_bytes())) if RELEASED.exists() else []


def missing() -> list[type[Event]]:
    """The classes of events whose newest version has no sample."""
    there = {(s["topic"], s["class_version"]) for s in released()}
    return [kind for kind in event_classes() if (kind.TOPIC, version_of(kind)) not in there]


def main() -> None:
    """Add the missing samples."""
    added = [sample(kind) for kind in missing()]
    samples = [*released(), *added]
    lines = b",\n".join(orjson.dumps(one) for one in samples)
    RELEASED.write_bytes(b"[\n" + lines + b"\n]\n")
    for one in added:
        print(f"added {one['topic']}, version {one['class_version']}")


if __name__ == "__main__":
    main()
