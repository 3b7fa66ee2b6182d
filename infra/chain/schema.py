"""The chain's own Postgres: its clubs, how far each group of tables is for each, and its people.

The tables of a group are in a schema of their own for each generation, `figures_1`, so that a
newer one grows beside what is in use. What is here is in `public`.
"""

from __future__ import annotations

from infra.ledger.schema import PARTS, Step

_FIRST = """
CREATE TABLE chain_identity (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    served_at text,
    only_one boolean PRIMARY KEY DEFAULT TRUE CHECK (only_one)
);
COMMENT ON COLUMN chain_identity.served_at IS 'where its API was reached last';
INSERT INTO chain_identity DEFAULT VALUES;

CREATE TABLE chain_clubs (
    number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    ledger text NOT NULL UNIQUE,
    url text NOT NULL,
    secret bytea NOT NULL,
    joined_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    looked_at timestamptz,
    seen_at timestamptz,
    head bigint NOT NULL DEFAULT 0,
    published bigint NOT NULL DEFAULT 0,
    waiting_since timestamptz,
    waiting_after bigint
);
COMMENT ON COLUMN chain_clubs.looked_at IS 'when somebody last began to look at its ledger';
COMMENT ON COLUMN chain_clubs.seen_at IS 'when the ledger last answered';
COMMENT ON COLUMN chain_clubs.head IS 'where it ended then';
COMMENT ON COLUMN chain_clubs.published IS 'how far it was in Kafka then';
COMMENT ON COLUMN chain_clubs.waiting_since IS 'when the first was recorded not taken in by then';
COMMENT ON COLUMN chain_clubs.waiting_after IS 'the position before that one';

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
    tries integer NOT NULL DEFAULT 0,
    again_at timestamptz,
    PRIMARY KEY (group_name, generation, club),
    FOREIGN KEY (group_name, generation) REFERENCES chain_groups ON DELETE CASCADE
);

COMMENT ON COLUMN chain_positions.digest IS 'of the event at the position';
COMMENT ON COLUMN chain_positions.reason IS 'why it stands still';
COMMENT ON COLUMN chain_positions.stands_at IS 'the event that it cannot take, where it is one';
COMMENT ON COLUMN chain_positions.again_at IS 'when it is tried again, after so many tries';

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
    added_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    added_by uuid NOT NULL
);
COMMENT ON COLUMN chain_users.added_by IS 'which request: one that is made again adds nobody twice';

CREATE TABLE chain_links (
    number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reader integer NOT NULL REFERENCES chain_users (number) ON DELETE CASCADE,
    page text NOT NULL,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE chain_links IS 'with which readers open the overview, without their tokens';
"""

STEPS = (Step(1, _FIRST), Step(2, PARTS))
"""Every change of these tables, in order; what was released once is never changed."""
