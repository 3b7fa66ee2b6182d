"""The ledger's tables.

`ledger_events` has the layout of the `eventsourcing` library's own recorder (the first five
columns), so that the stock library opens it; the columns after them say who, when and why.
"""

from __future__ import annotations

from typing import Any

import psycopg

from domain.clients import Client
from domain.exercises import Exercise
from domain.memberships import Membership
from domain.payments import Payment
from domain.reports import Report
from domain.sessions import Session
from domain.sign_ins import SignIn
from domain.training_plans import TrainingPlan
from domain.trainings import Training
from domain.users import User

LOCK = 0x6C6564676572
"""The advisory lock under which a batch is appended: positions are in commit order."""

SCHEMA_LOCK = LOCK + 1
"""The advisory lock under which tables are made, so that two processes may start at once."""

CHANNEL = "ledger"
"""The channel on which each batch is announced, with the position it ended at."""

SEQUENCES = {
    User.TOPIC: "users_id_seq",
    Membership.TOPIC: "memberships_id_seq",
    Client.TOPIC: "clients_id_seq",
    Exercise.TOPIC: "exercises_id_seq",
    Training.TOPIC: "trainings_id_seq",
    TrainingPlan.TOPIC: "training_plans_id_seq",
    Payment.TOPIC: "payments_id_seq",
    Report.TOPIC: "simple_report_id_seq",
    Session.TOPIC: "sessions_id_seq",
    SignIn.TOPIC: "sign_ins_id_seq",
}
"""Where the numbers of each kind come from: of documented tables, the SERIAL column's sequence."""

HEAD = "SELECT coalesce(max(notification_id), 0) FROM ledger_events"
"""The last position; 0 in an empty ledger."""

_TABLES = """
CREATE TABLE IF NOT EXISTS ledger_events (
    originator_id text COLLATE "C" NOT NULL,
    originator_version bigint NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    notification_id bigint NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    command text NOT NULL,
    command_id text NOT NULL,
    correlation_id text NOT NULL,
    causation_id text NOT NULL,
    PRIMARY KEY (originator_id, originator_version)
);
CREATE UNIQUE INDEX IF NOT EXISTS ledger_events_notification_id_idx
    ON ledger_events (notification_id);

CREATE TABLE IF NOT EXISTS ledger_receipts (
    source text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    outcome json NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (source, key)
);
CREATE INDEX IF NOT EXISTS ledger_receipts_recorded_at_idx ON ledger_receipts (recorded_at);

CREATE TABLE IF NOT EXISTS ledger_identity (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    only_one boolean PRIMARY KEY DEFAULT TRUE CHECK (only_one)
);
INSERT INTO ledger_identity DEFAULT VALUES ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS relay_positions (
    name text PRIMARY KEY,
    position bigint NOT NULL
);

CREATE OR REPLACE FUNCTION ledger_is_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is never changed: % refused', TG_OP;
END $$;
CREATE OR REPLACE TRIGGER ledger_is_immutable
    BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_events
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_immutable();
"""


_IDENTITY = "SELECT id || ' ' || current_database() FROM ledger_identity"


async def create_ledger(connection: psycopg.AsyncConnection[Any]) -> str:
    """Make the ledger's tables and sequences where they are not there yet.

    Returns what tells this ledger from every other one, also from a copy beside it.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [SCHEMA_LOCK])
        await connection.execute("SET LOCAL client_min_messages = warning")
        await connection.execute(_TABLES)
        for sequence in SEQUENCES.values():
            await connection.execute(f"CREATE SEQUENCE IF NOT EXISTS {sequence} AS integer")
        cursor = await connection.execute(_IDENTITY)
        ((identity,),) = await cursor.fetchall()
        return str(identity)
