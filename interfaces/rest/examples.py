"""What a person would send, and is answered: the examples of the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

AT = "2026-03-02T09:00:00.000000Z"

EXAMPLES: Mapping[str, Any] = {
    "access_level": "PREMIUM",
    "again_at": None,
    "agent": "Mozilla/5.0",
    "amount": "49.90",
    "as_of": AT,
    "by": "month",
    "client_id": 1,
    "code": "123456",
    "collected_at": AT,
    "collector": "provider-acme",
    "complexity_lvl": "BEGINNER",
    "created_at": AT,
    "daily": True,
    "daily_report_at": "08:00",
    "date": "2026-03-02",
    "date_of_birth": "1990-12-10",
    "day": "2026-03-02",
    "days": 10,
    "deleted_at": None,
    "deliveries": [],
    "description": "Slowly down, and up again.",
    "drawn_at": AT,
    "duration_min": 45,
    "email": "ada@example.com",
    "ends_at": "2026-04-01T09:00:00.000000Z",
    "equipment_required": False,
    "exercise_id": 1,
    "exercise_ids": [1, 2],
    "expires_in": 900,
    "extra_weight": "20.00",
    "empty": False,
    "expires_at": "2026-03-03T09:00:00.000000Z",
    "first_name": "Ada",
    "from_date": "2026-03-01",
    "gender": "FEMALE",
    "granted_at": AT,
    "height_sm": "168.00",
    "id": 1,
    "intensity": "MEDIUM",
    "kept_seconds": None,
    "last_login": AT,
    "last_name": "Lovelace",
    "last_used_at": AT,
    "login_token": "the login_token of /jwt-auth/login/",
    "made_at": AT,
    "membership_id": 1,
    "muscle_group": "LEGS",
    "number": 1,
    "opened_at": AT,
    "order_in_training": 1,
    "origin": "203.0.113.7",
    "paid": True,
    "paid_days": 30,
    "password": "correct horse battery",
    "payment_id": 1,
    "payment_patience_hours": 24,
    "payment_status": "PENDING",
    "phone_number": "+44 20 7946 0000",
    "pinned_at": AT,
    "position": 1204,
    "price": "49.90",
    "provisional": False,
    "reason": "The pool was closed.",
    "reference": "pi_3Nq",
    "refresh_token": "the refresh_token of the answer before",
    "refund_announced_at": None,
    "report_date_end": "2026-03-31",
    "report_date_start": "2026-03-01",
    "report": "money",
    "reps": 10,
    "rest_time_sec": 60,
    "returned_at": None,
    "role": "USER",
    "session_id": 1,
    "sets": 3,
    "shared_memberships": False,
    "timestamp": AT,
    "timezone": "Europe/Berlin",
    "timezone_since": AT,
    "title": "Legs and core",
    "to_date": "2026-03-31",
    "training_id": 1,
    "training_plan_id": 1,
    "training_type": "STRENGTH",
    "unfinished": "2026-03-01",
    "until": "2026-04-01T09:00:00.000000Z",
    "url": "https://club.example/reports/overview/?link=eyJ0eXAiOiJwdCtqd3Qi…",
    "user_id": 1,
    "username": "ada",
    "weight_kg": "61.50",
}
"""Of each member, wherever it is."""

OWN: Mapping[str, Mapping[str, Any]] = {
    "ChainPageLinkMade": {
        "url": "https://chain.example/chain/reports/overview/?link=eyJ0eXAiOiJjaGFpbi1w…"
    },
    "Exercise": {"title": "Squat"},
    "Membership": {"description": "The pool and the sauna, at any time."},
    "FirstPassword": {"code": "K7QD-3M9P-XT4W-0ZRA"},
    "ScheduleBody": {"trainings": [{"training_id": 1, "date": "2026-03-02"}]},
    "TrainingPlan": {"title": "Spring, three times a week", "description": "Rest on Sundays."},
}
"""Of the members of these kinds, by how the names of their models begin."""

LEFT_OUT = frozenset({"role", "payment_status", "timestamp"})
"""What most people may not set, or leave to the club."""

FIRST = 1
"""A number in a path."""

CHANGED = 1
"""How many members the example of a partial update names."""


def show(document: dict[str, Any]) -> None:
    """Give every member its example, and every body the one that a person would send."""
    schemas = document["components"]["schemas"]
    for model, schema in schemas.items():
        if not model.startswith("Problem"):
            _show_members(model, schema)
    for path in document["paths"].values():
        for method, operation in path.items():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                content["example"] = _sent(method, content["schema"], schemas)
            for parameter in operation["parameters"]:
                if parameter["in"] == "path":
                    parameter["example"] = FIRST


def _show_members(model: str, schema: Mapping[str, Any]) -> None:
    examples = _examples(model)
    for name, member in schema.get("properties", {}).items():
        if name in examples:
            member["examples"] = [examples[name]]


def _examples(model: str) -> Mapping[str, Any]:
    own = next((own for kind, own in OWN.items() if model.startswith(kind)), {})
    return {**EXAMPLES, **own}


def _sent(method: str, body: Mapping[str, Any], schemas: Mapping[str, Any]) -> dict[str, Any]:
    body = body.get("anyOf", [body])[0]  # that may also be left out
    of = body.get("$ref", "").rpartition("/")[2]
    model = schemas[of] if of else body
    required, examples = model.get("required", ()), _examples(of)
    sent = {
        name: examples[name]
        for name, member in model["properties"].items()
        if name in examples
        and not member.get("readOnly")
        and (name in required or name not in LEFT_OUT)
    }
    return dict(list(sent.items())[:CHANGED]) if method == "patch" else sent
