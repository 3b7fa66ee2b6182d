"""The documented tables, column by column, as the document of the service says them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from infra.following.rebuilding import rebuild
from infra.ledger.postgres import Postgres
from projections.catalogue import DOCUMENTED


class Column(NamedTuple):
    """One documented column; `default` is what a row gets that does not name it."""

    type: str
    required: bool
    default: str | None = None


ENUMS = {
    "user_role": "USER ADMIN TRAINER STAFFER SYSTEM ANALYST OTHER",
    "access_level": (
        "STANDARD PREMIUM VIP LIMIT FAMILY TRIAL DAY_PASS WEEK_PASS GUEST CORPORATE DISCOUNT OTHER"
    ),
    "gender": "MALE FEMALE OTHER",
    "client_status": "ACTIVE INACTIVE ON_HOLD CANCELLED EXPIRED UPCOMING",
    "training_type": (
        "CARDIO STRENGTH FLEXIBILITY BALANCE HIIT YOGA PILATES ENDURANCE CROSSFIT FUNCTIONAL"
        " REHABILITATION DANCE SWIMMING OTHER"
    ),
    "intensity": "VERY_LOW LOW MEDIUM HIGH VERY_HIGH EXTREME",
    "muscle_group": (
        "CHEST BACK LEGS ARMS CORE SHOULDERS BUTTOCKS CALVES NECK HIPS FULL_BODY OTHER"
    ),
    "complexity_lvl": "BEGINNER NOVICE INTERMEDIATE ADVANCED EXPERT MASTER",
    "plan_status": "ACTIVE PREPARED COMPLETED DELAYED",
    "payment_status": "PENDING PAID FAILED CANCELLED EXPIRED REFUNDED",
}

SERIAL = "the next number"
NOW = "now"
DOCUMENT: dict[str, dict[str, Column]] = {
    "users": {
        "id": Column("integer", True, SERIAL),
        "username": Column("character varying(50)", True),
        "password_hash": Column("character varying(255)", True),
        "email": Column("character varying(100)", True),
        # The document names no default; who registers is always a USER.
        "role": Column("user_role", False, "USER"),
        "created_at": Column("timestamp with time zone", False, NOW),
        "last_login": Column("timestamp with time zone", False),
        "deleted_at": Column("timestamp with time zone", False),
    },
    "memberships": {
        "id": Column("integer", True, SERIAL),
        "access_level": Column("access_level", False),
        "description": Column("text", False),
        "price": Column("numeric", True),
    },
    "clients": {
        "id": Column("integer", True, SERIAL),
        "user_id": Column("integer", True),
        "membership_id": Column("integer", True),
        "first_name": Column("character varying(50)", True),
        "last_name": Column("character varying(80)", True),
        "phone_number": Column("character varying(20)", True),
        "gender": Column("gender", False),
        "date_of_birth": Column("date", True),
        "weight_kg": Column("numeric(5,2)", False),
        "height_sm": Column("numeric(5,2)", False),
        "status": Column("client_status", False, "ACTIVE"),
    },
    "trainings": {
        "id": Column("integer", True, SERIAL),
        "client_id": Column("integer", True),
        "training_type": Column("training_type", False),
        "title": Column("character varying(200)", True),
        "intensity": Column("intensity", False),
        "duration_min": Column("integer", False, "45"),
        "date": Column("date", False),
        "description": Column("text", False),
    },
    "exercises": {
        "id": Column("integer", True, SERIAL),
        "title": Column("character varying(50)", True),
        "description": Column("text", False),
        "muscle_group": Column("muscle_group", False),
        "equipment_required": Column("boolean", False, "false"),
        "complexity_lvl": Column("complexity_lvl", False, "BEGINNER"),
    },
    "trainings_exercises": {
        "training_id": Column("integer", True),
        "exercise_id": Column("integer", True),
        "order_in_training": Column("integer", True),
        "sets": Column("integer", False, "3"),
        "reps": Column("integer", False, "10"),
        "rest_time_sec": Column("integer", False, "60"),
        "extra_weight": Column("numeric(5,2)", False),
    },
    "training_plans": {
        "id": Column("integer", True, SERIAL),
        "user_id": Column("integer", True),
        "title": Column("character varying(200)", True),
        "description": Column("text", False),
        "created_at": Column("timestamp with time zone", False, NOW),
        "status": Column("plan_status", False, "ACTIVE"),
    },
    "training_plan_trainings": {
        "training_id": Column("integer", True),
        "training_plan_id": Column("integer", True),
    },
    "clients_training_plan": {
        "client_id": Column("integer", True),
        "training_plan_id": Column("integer", True),
        "pinned_at": Column("timestamp with time zone", False, NOW),
    },
    "simple_report": {
        "id": Column("integer", True, SERIAL),
        "report_date_start": Column("date", True),
        "report_date_end": Column("date", True),
        "new_users": Column("jsonb", True),
    },
    "payments": {
        "id": Column("integer", True, SERIAL),
        "client_id": Column("integer", True),
        "membership_id": Column("integer", True),
        "payment_status": Column("payment_status", False),
        "timestamp": Column("timestamp with time zone", False),
    },
}

PRIMARY_KEYS = dict.fromkeys(DOCUMENT, "id") | {
    "trainings_exercises": "training_id, exercise_id",
    "training_plan_trainings": "training_id, training_plan_id",
    "clients_training_plan": "client_id, training_plan_id",
}
UNIQUE = {
    ("users", "username"),
    ("users", "email"),
    ("clients", "user_id"),
    ("clients", "membership_id"),
    ("exercises", "title"),
}
REFERENCES = {
    ("clients", "user_id", "users", "NO ACTION"),
    ("clients", "membership_id", "memberships", "SET DEFAULT"),
    ("trainings", "client_id", "clients", "CASCADE"),
    ("trainings_exercises", "training_id", "trainings", "CASCADE"),
    ("trainings_exercises", "exercise_id", "exercises", "CASCADE"),
    # The document names no action for a plan's user.
    ("training_plans", "user_id", "users", "NO ACTION"),
    ("training_plan_trainings", "training_id", "trainings", "CASCADE"),
    ("training_plan_trainings", "training_plan_id", "training_plans", "CASCADE"),
    ("clients_training_plan", "client_id", "clients", "CASCADE"),
    ("clients_training_plan", "training_plan_id", "training_plans", "CASCADE"),
}

ANY = {
    "integer": "7",
    "character varying": "'text'",
    "numeric": "49.90",
    "date": "'2026-01-31'",
    "jsonb": "'{}'",
}
"""A value for each type that something required has."""

Rows = Callable[..., list[tuple[Any, ...]]]

COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
FROM pg_attribute AS a
WHERE a.attrelid = to_regclass('public.' || %s) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""
LABELS = """
SELECT string_agg(enumlabel, ' ' ORDER BY enumsortorder) FROM pg_enum
WHERE enumtypid = to_regtype(%s)
"""
KEYS = """
SELECT c.conrelid::regclass::text,
       (SELECT string_agg(a.attname, ', ' ORDER BY k.n)
        FROM unnest(c.conkey) WITH ORDINALITY AS k (column_number, n)
        JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.column_number)
FROM pg_constraint AS c
WHERE c.contype = %s AND c.connamespace = 'public'::regnamespace
"""
FOREIGN_KEYS = """
SELECT tc.table_name, kcu.column_name, there.table_name, rc.delete_rule, there.column_name
FROM information_schema.table_constraints AS tc
JOIN information_schema.key_column_usage AS kcu USING (constraint_schema, constraint_name)
JOIN information_schema.referential_constraints AS rc USING (constraint_schema, constraint_name)
JOIN information_schema.constraint_column_usage AS there USING (constraint_schema, constraint_name)
WHERE tc.constraint_type = 'FOREIGN KEY' AND tc.table_schema = 'public'
"""


@pytest.fixture(scope="module", params=["made at the first start", "rebuilt"])
def schema(server: str, template: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database whose tables came about in one of the two ways."""
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute("SET client_min_messages = warning")
        admin.execute("DROP DATABASE IF EXISTS club_schema WITH (FORCE)")
        admin.execute(f"CREATE DATABASE club_schema TEMPLATE {template}".encode())
        url = make_conninfo(server, dbname="club_schema")
        if request.param == "rebuilt":
            asyncio.run(rebuild(Postgres(url), DOCUMENTED))
        yield url
        admin.execute("DROP DATABASE club_schema WITH (FORCE)")


@pytest.fixture
def rows(schema: str) -> Iterator[Rows]:
    """Asks the database; whatever is done is undone."""
    with closing(psycopg.connect(schema)) as connection:
        yield lambda sql, *params: connection.execute(sql.encode(), params).fetchall()


@pytest.mark.parametrize("table", DOCUMENT)
def test_every_documented_column_is_there_and_no_other(rows: Rows, table: str) -> None:
    documented = [(name, c.type, c.required) for name, c in DOCUMENT[table].items()]
    assert rows(COLUMNS, table) == documented


@pytest.mark.parametrize("name", ENUMS)
def test_enums_have_all_values_in_order(rows: Rows, name: str) -> None:
    assert rows(LABELS, name) == [(ENUMS[name],)]


def test_keys_are_as_documented(rows: Rows) -> None:
    found: dict[str, str] = dict(rows(KEYS, "p"))
    assert {name: found[name] for name in DOCUMENT} == PRIMARY_KEYS


def test_what_is_unique_is_as_documented(rows: Rows) -> None:
    assert set(rows(KEYS, "u")) == UNIQUE


def test_references_and_what_follows_a_deletion_are_as_documented(rows: Rows) -> None:
    found = [row for row in rows(FOREIGN_KEYS) if row[0] in DOCUMENT]
    assert {row[:4] for row in found} == REFERENCES
    assert {row[4] for row in found} == {"id"}


@pytest.mark.parametrize("table", DOCUMENT)
def test_a_row_that_names_only_what_is_required_gets_the_documented_defaults(
    rows: Rows, table: str
) -> None:
    columns = DOCUMENT[table]
    named = [name for name, c in columns.items() if c.required and c.default is None]
    values = ", ".join(ANY[columns[name].type.partition("(")[0]] for name in named)
    ((row, now),) = rows(
        f"INSERT INTO {table} ({', '.join(named)}) VALUES ({values}) RETURNING to_jsonb({table}), "
        "to_jsonb(now())"
    )
    for name, column in columns.items():
        match column.default:
            case "the next number":
                sequence = rows(f"SELECT last_value FROM {table}_id_seq")
                assert [(row[name],)] == sequence
            case "now":
                assert row[name] == now
            case None if column.required:
                assert row[name] is not None
            case None:
                assert row[name] is None
            case default:
                assert str(row[name]).lower() == default.lower(), name
