"""The ledger's tables.

`ledger_events` has the layout of the `eventsourcing` library's own recorder (the first five
columns), so that the stock library opens it; the columns after them say who, when and why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg

from domain.clients import Client
from domain.exercises import Exercise
from domain.memberships import Membership
from domain.page_links import PageLink
from domain.payments import Payment
from domain.reports import Report
from domain.sessions import Session
from domain.sign_ins import SignIn
from domain.training_plans import TrainingPlan
from domain.trainings import Training
from domain.users import User
from infra.faults import Fault
from infra.ledger.connection import ASLEEP

Connection = psycopg.AsyncConnection[Any]

LOCK = 0x6C6564676572
"""The advisory lock under which a batch is appended: positions are in commit order."""

SCHEMA_LOCK = LOCK + 1
"""The advisory lock under which tables are made, so that two processes may start at once."""

PAUSE = 0.2
"""Seconds between looks whether somebody else is done with the tables."""

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
    PageLink.TOPIC: "page_links_id_seq",
}
"""Where the numbers of each kind come from: of documented tables, the SERIAL column's sequence."""

HEAD = "SELECT coalesce(max(notification_id), 0) FROM ledger_events"
"""The last position; 0 in an empty ledger."""

NOW = """
SELECT greatest(clock_timestamp(), (
    SELECT recorded_at FROM ledger_events ORDER BY notification_id DESC LIMIT 1)) AS moment
"""
"""The moment of whatever is recorded together, by the clock of Postgres: never before one of an
earlier position, also where that clock was put back or another server has taken over."""

_FIRST = """
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
CREATE TABLE IF NOT EXISTS projection_positions (
    name text PRIMARY KEY,
    position bigint NOT NULL,
    definition text NOT NULL,
    tables text[] NOT NULL
);

CREATE OR REPLACE FUNCTION ledger_is_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is never changed: % refused', TG_OP;
END $$;
CREATE OR REPLACE TRIGGER ledger_is_immutable
    BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_events
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_immutable();

CREATE SEQUENCE IF NOT EXISTS users_id_seq AS integer;
CREATE SEQUENCE IF NOT EXISTS memberships_id_seq AS integer;
CREATE SEQUENCE IF NOT EXISTS clients_id_seq AS integer;
CREATE SEQUENCE IF NOT EXISTS exercises_id_seq AS integer;
CREATE SEQUENCE IF NOT EXISTS trainings_id_seq AS integer;
CREATE SEQUENCE IF NOT EXISTS training_plans_id_seq AS integer;
CREATE SEQUENCE IF NOT EXISTS payments_id_seq AS integer;
CREATE SEQUENCE IF NOT EXISTS simple_report_id_seq AS integer;
CREATE SEQUENCE IF NOT EXISTS sessions_id_seq AS integer;
CREATE SEQUENCE IF NOT EXISTS sign_ins_id_seq AS integer;
"""

# Positions are kept for each group of read tables, with a generation that only grows. What still
# runs of the release before finds its own table as a view: it sees how far the tables are, which
# its decisions rest on, and its projector can write nothing, as its position cannot be moved.
_GROUPS = """
LOCK TABLE projection_positions IN ACCESS EXCLUSIVE MODE;
CREATE TABLE read_groups (
    name text PRIMARY KEY,
    position bigint NOT NULL,
    definition text NOT NULL,
    generation integer NOT NULL DEFAULT 0,
    tables text[] NOT NULL,
    made jsonb NOT NULL DEFAULT '{}'
);
INSERT INTO read_groups (name, position, definition, tables)
    SELECT 'documented', position, definition, tables FROM projection_positions
    WHERE name = 'read tables';
ALTER TABLE projection_positions RENAME TO projection_positions_before;
CREATE VIEW projection_positions AS
    SELECT DISTINCT b.name, g.position, b.definition, '{}'::text[] AS tables
    FROM projection_positions_before AS b JOIN read_groups AS g ON g.name = 'documented';
"""

# Which parts of the service run, and how they are doing.
PARTS = """
CREATE TABLE parts (
    name text NOT NULL,
    process text NOT NULL,
    status text NOT NULL,
    detail text NOT NULL DEFAULT '',
    since timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (name, process)
);
"""


class Step(NamedTuple):
    """One change of the ledger's tables; what was released once is never changed."""

    number: int
    sql: str
    builds: str = ""
    """The index that the one statement builds concurrently, which must not be in a transaction."""


# Of ids of one length the last in order has the highest number: see `infra.ledger.numbers`.
_NUMBERS = """
CREATE INDEX CONCURRENTLY ledger_events_number_idx
    ON ledger_events (length(originator_id), originator_id) WHERE originator_version = 1
"""

_PAGE_LINKS = """
CREATE SEQUENCE IF NOT EXISTS page_links_id_seq AS integer;
"""

# A conversation is looked up by its name, as a request's answer has it.
_CONVERSATIONS = """
CREATE INDEX CONCURRENTLY ledger_events_correlation_idx
    ON ledger_events (correlation_id, notification_id)
"""

# The tree over all events, 128 hashes in a row, and the heads of it that were signed. Heads may
# have been restored with the ledger, before this step.
_SEALS = """
CREATE TABLE ledger_tree (
    level smallint NOT NULL,
    number bigint NOT NULL,
    hashes bytea NOT NULL,
    PRIMARY KEY (level, number)
);
ALTER TABLE ledger_tree ALTER hashes SET STORAGE EXTERNAL;
CREATE TABLE IF NOT EXISTS ledger_seals (
    position bigint PRIMARY KEY,
    size bigint NOT NULL,
    root bytea NOT NULL,
    moment timestamptz NOT NULL,
    key text NOT NULL,
    signature bytea NOT NULL
);
CREATE OR REPLACE TRIGGER ledger_is_immutable
    BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_seals
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_immutable();
"""

# What goes to Kafka, for a chain of clubs: how far that is confirmed, where the last of it is
# there, what of it was still there when it was looked last, and the secret by which the chain knows
# that it is this ledger's own.
_PUBLISHING = """
CREATE TABLE ledger_publishing (
    topic text PRIMARY KEY,
    position bigint NOT NULL DEFAULT 0,
    digest bytea NOT NULL DEFAULT '',
    partition integer,
    "offset" bigint,
    seen_position bigint,
    seen_partition integer,
    seen_offset bigint,
    secret bytea NOT NULL DEFAULT decode(
        replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex')
);
INSERT INTO ledger_publishing (topic) VALUES ('club.ledger');
"""

STEPS = (
    Step(1, _FIRST),
    Step(2, _GROUPS),
    Step(3, PARTS),
    Step(4, _NUMBERS, builds="ledger_events_number_idx"),
    Step(5, _PAGE_LINKS),
    Step(6, _CONVERSATIONS, builds="ledger_events_correlation_idx"),
    Step(7, _SEALS),
    Step(8, _PUBLISHING),
)
"""Every change of the ledger's tables, in order."""


class LedgerMissing(Fault):
    """There is no club in this database yet: `club run` makes one."""


class ChainThere(Fault):
    """This database is the one of a chain of clubs: a club has one of its own."""


class LedgerOlder(Fault):
    """The ledger's tables are of an older release, at step {found} of {wanted}.

    `club run`, or `club projector`, of this release brings them up to date.
    """


class Opened(NamedTuple):
    """What is known of a ledger when it is opened."""

    identity: str
    """What tells this ledger from every other one, also from a copy beside it."""
    has_tables: bool
    """Whether there are documented tables."""
    has_rules: bool
    """Whether the rules of the club are in it."""


_OPEN = """
SELECT (SELECT max(number) FROM ledger_schema), id || ' ' || current_database(),
       EXISTS (SELECT FROM read_groups WHERE name = 'documented'),
       EXISTS (SELECT FROM ledger_events WHERE originator_id = 'rules-1')
FROM ledger_identity
"""


async def open_ledger(connection: Connection) -> Opened:
    """Look whether this release can work on the ledger: one statement, and no lock.

    Raises LedgerMissing, ChainThere or LedgerOlder. A ledger of a newer release is one to work on:
    its steps only add.
    """
    try:
        cursor = await connection.execute(_OPEN)
        row = await cursor.fetchone()
    except psycopg.errors.UndefinedTable:
        raise (ChainThere if await has_chain(connection) else LedgerMissing) from None
    if row is None:
        raise LedgerMissing
    if row[0] < STEPS[-1].number:
        raise LedgerOlder(found=row[0], wanted=STEPS[-1].number)
    return Opened(*row[1:])


async def has_ledger(connection: Connection) -> bool:
    """Whether there is a ledger in this database, of whatever release."""
    return await _is(connection, _THERE, "ledger_events")


async def has_chain(connection: Connection) -> bool:
    """Whether this database holds what is computed for a chain of clubs."""
    return await _is(connection, _THERE, "chain_clubs")


async def advance_ledger(connection: Connection, steps: Sequence[Step] = STEPS) -> None:
    """Take the steps that the ledger's tables have not taken yet; the connection is in autocommit.

    For whoever projects: nobody else changes the database.
    """
    await advance(connection, steps, "ledger_schema")


async def advance(connection: Connection, steps: Sequence[Step], noted: str) -> None:
    """Take those of these steps that are not in the table where it is noted which were taken.

    Nobody waits for the lock in a statement, as an index that is built concurrently waits for every
    statement.
    """
    # Whoever is frozen between two steps is not waited for.
    await connection.execute(f"SET idle_session_timeout = '{ASLEEP}s'".encode())
    while not await _is(connection, _TRY, SCHEMA_LOCK):  # noqa: ASYNC110 - Postgres tells nobody
        await asyncio.sleep(PAUSE)
    try:
        await connection.execute("SET client_min_messages = warning")
        await connection.execute(_SCHEMA.format(noted=noted).encode())
        for step in steps:
            if await _is(connection, _TAKEN.format(noted=noted), step.number):
                continue
            take = _TAKE.format(noted=noted).encode()
            if step.builds:
                await _build_index(connection, step)
                await connection.execute(take, [step.number])
                continue
            async with connection.transaction():
                await connection.execute(step.sql.encode())
                await connection.execute(take, [step.number])
    finally:
        await connection.execute("SELECT pg_advisory_unlock(%s)", [SCHEMA_LOCK])
        await connection.execute("SET idle_session_timeout = 0")


async def _build_index(connection: Connection, step: Step) -> None:
    """One that was left half built is taken away first."""
    await connection.execute("SET statement_timeout = 0")
    if not await _is(connection, _VALID, step.builds):
        await connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {step.builds}".encode())
        await connection.execute(step.sql.encode())


async def _is(connection: Connection, sql: str, param: object) -> bool:
    cursor = await connection.execute(sql.encode(), [param])
    return await cursor.fetchone() == (True,)


async def number_in(connection: Connection, sql: str) -> int:
    """The one number that a query answers; 0 for none."""
    cursor = await connection.execute(sql.encode())
    row = await cursor.fetchone()
    return 0 if row is None else int(row[0])


_SCHEMA = """
CREATE TABLE IF NOT EXISTS {noted} (
    number integer PRIMARY KEY,
    taken_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
_THERE = "SELECT to_regclass(%s) IS NOT NULL"
_TRY = "SELECT pg_try_advisory_lock(%s)"
_TAKEN = "SELECT EXISTS (SELECT FROM {noted} WHERE number = %s)"
# Whether there is an index of this name, and it is whole.
_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"
_TAKE = "INSERT INTO {noted} (number) VALUES (%s)"
