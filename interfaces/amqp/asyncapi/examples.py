"""The values of the document's examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

AT = "2026-03-02T09:00:00.000000Z"

EXAMPLES: Mapping[str, Any] = {
    "access_level": "PREMIUM",
    "amount": "49.90",
    "client_id": 7,
    "collector": "provider-acme",
    "complexity_lvl": "BEGINNER",
    "date": "2026-03-02",
    "date_of_birth": "1990-12-10",
    "days": 30,
    "description": "Slowly down, and up again.",
    "duration_min": 45,
    "email": "ada@example.com",
    "ends_at": "2026-04-01T09:00:00.000000Z",
    "equipment_required": False,
    "exercise_id": 4,
    "exercise_ids": [4, 5],
    "first_name": "Ada",
    "generation": 2,
    "intensity": "MEDIUM",
    "kept_seconds": 2_592_000,
    "last_name": "Lovelace",
    "membership_id": 2,
    "muscle_group": "LEGS",
    "number_of_collection": 1,
    "number_of_secret": 2,
    "occurred_at": AT,
    "order_in_training": 1,
    "ends_before": "2026-03-31T22:00:00.000000Z",
    "paid_at": AT,
    "paid_days": 30,
    "payment_patience_hours": 24,
    "shared_memberships": False,
    "since": AT,
    "starts_at": "2026-02-28T23:00:00.000000Z",
    "password": "correct horse battery",
    "payment_id": 42,
    "payment_status": "PAID",
    "phone_number": "+44 20 7946 0000",
    "price": "49.90",
    "reason": "The pool was closed.",
    "reference": "pi_3Nq",
    "report_date_end": "2026-03-31",
    "report_date_start": "2026-03-01",
    "reps": 10,
    "resumed_at": "2026-03-12T09:00:00.000000Z",
    "rest_time_sec": 60,
    "role": "USER",
    "session_id": 8,
    "sets": 3,
    "status": "ACTIVE",
    "timestamp": AT,
    "timezone": "Europe/Madrid",
    "title": "Squat",
    "training_id": 3,
    "training_plan_id": 5,
    "training_type": "STRENGTH",
    "until": "2026-04-01T09:00:00.000000Z",
    "user_id": 1,
    "username": "ada",
    "why": "logged-out",
}
"""A value for each field of the examples, by its name."""
