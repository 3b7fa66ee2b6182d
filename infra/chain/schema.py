"""The chain's own Postgres: its clubs, how far each group of tables is for each, and its people.

The tables of a group are in a schema of their own for each generation, `figures_1`, so that a
newer one grows beside what is in use. What is here is in `public`.
"""

from __future__ import annotations

from infra.ledger.schema import PARTS, Step

_FIRST = """
CREATE TABLE chain_clubs (
    number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    ledger text NOT NULL UNIQUE,
    url text NOT NULL,
    secret bytea NOT NULL,
    joined_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE chain_groups (
    name text NOT NULL,
    generation integer NOT NULL,
    definition text NOT NULL,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (name, generation)
);

CREATE TABLE chain_positions (
    group_name text NOT NULL,
    generation integer NOT NULL,
    club integer NOT NULL REFERENCES chain_clubs (number) ON DELETE CASCADE,
    position bigint NOT NULL DEFAULT 0,
    digest bytea NOT NULL DEFAULT '',
    recorded_at timestamptz,
    advanced_at timestamptz,
    reason text,
    stands_at bigint,
    topic text,
    since timestamptz,
    PRIMARY KEY (group_name, generation, club),
    FOREIGN KEY (group_name, generation) REFERENCES chain_groups ON DELETE CASCADE
);

CREATE TABLE chain_kept_out (
    reason text NOT NULL,
    ledger text NOT NULL,
    times bigint NOT NULL DEFAULT 1,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    last_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (reason, ledger)
);

CREATE TABLE chain_users (
    number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    role text NOT NULL CHECK (role IN ('ADMIN', 'ANALYST')),
    added_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""

STEPS = (Step(1, _FIRST), Step(2, PARTS))
"""Every change of these tables, in order; what was released once is never changed."""
