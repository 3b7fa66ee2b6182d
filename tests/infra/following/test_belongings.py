"""What an administrator hung on the read tables is there after a rebuild, or refused by name."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

import psycopg
import pytest

from infra.following.belongings import CannotBeCarried, ChangedMeanwhile
from infra.following.builder import TablesTooStrict
from infra.following.exchange import NamesTaken
from infra.following.rebuilding import build_forward
from infra.ledger.postgres import Postgres
from infra.servers.postgres_server import PROGRAMS
from infra.settings import Settings
from projections.catalogue import DOCUMENTED
from projections.engine.model import Group
from projections.engine.table import Table
from tests.infra.following.test_rebuild import (
    BESIDE,
    ask,
    connected,
    follow,
    rebuilding,
    rebuilt,
    rows_of,
)
from tests.projections.histories import record, rich
from tests.waiting import until

EVENTS = rich(280).events
SHOWN = len(EVENTS) // 2
"""Events of which the tables know, and what hangs on them."""

ROLES = ("book keeper", "auditor", "landlord")
STAY = """
CREATE SCHEMA theirs;
CREATE TABLE theirs.notes (id integer PRIMARY KEY, user_id integer, client_id integer);
CREATE FUNCTION theirs.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE FUNCTION theirs.day(timestamptz) RETURNS date IMMUTABLE LANGUAGE sql AS
    $$ SELECT ($1 AT TIME ZONE 'UTC')::date $$;
CREATE FUNCTION theirs.mine(integer) RETURNS boolean STABLE LANGUAGE sql AS 'SELECT TRUE';
CREATE SEQUENCE theirs.numbers;
"""
"""Beside the club's tables; not touched by any rebuild."""

STORED = {
    "fillfactor": "ALTER TABLE payments SET (fillfactor = 70)",
    "vacuuming": """ALTER TABLE payments SET (autovacuum_enabled = off,
        autovacuum_vacuum_scale_factor = 0.05, toast.autovacuum_enabled = off)""",
    "tablespace": 'ALTER TABLE payments SET TABLESPACE "slow disk"',
    "statistics target": "ALTER TABLE payments ALTER client_id SET STATISTICS 500",
    "options of a column": "ALTER TABLE payments ALTER client_id SET (n_distinct = -0.5)",
    "storage of a column": "ALTER TABLE users ALTER email SET STORAGE EXTERNAL",
    "compression of a column": "ALTER TABLE users ALTER email SET COMPRESSION pglz",
    "default": "ALTER TABLE payments ALTER membership_id SET DEFAULT nextval('theirs.numbers')",
    "other default": "ALTER TABLE users ALTER role SET DEFAULT 'ADMIN'",
}
BUILT = {
    "index": "CREATE INDEX payments_by_day ON payments (theirs.day(timestamp))",
    "partial index": """CREATE UNIQUE INDEX "By ""ON public.payments"" " ON payments
        USING btree (id DESC NULLS LAST) INCLUDE (client_id) NULLS NOT DISTINCT
        WITH (fillfactor = 60) WHERE payment_status <> 'PAID'""",
    "index elsewhere": """CREATE INDEX elsewhere ON payments (membership_id)
        TABLESPACE "slow disk" """,
    "index of an expression": """CREATE INDEX lowered ON users (lower(username), (email || '!'));
        ALTER INDEX lowered ALTER COLUMN 2 SET STATISTICS 700""",
    "index of the club": """ALTER INDEX payments_pkey SET (fillfactor = 50);
        ALTER INDEX payments_client_id_id_idx SET (deduplicate_items = off);
        ALTER INDEX payments_client_id_id_idx SET TABLESPACE "slow disk" """,
    "check": """ALTER TABLE payments ADD CONSTRAINT "all good" CHECK (id > 0 AND client_id > 0);
        ALTER TABLE payments ADD CHECK (theirs.day(timestamp) > '2000-01-01') NOT VALID""",
    "check of the whole row": "ALTER TABLE payments ADD CHECK (payments IS NOT NULL)",
    "not null": "ALTER TABLE payments ALTER timestamp SET NOT NULL",
    "unique": """ALTER TABLE payments ADD CONSTRAINT once UNIQUE (id, client_id)
        WITH (fillfactor = 80) DEFERRABLE INITIALLY DEFERRED""",
    "exclusion": "ALTER TABLE payments ADD CONSTRAINT alone EXCLUDE USING btree (id WITH =)",
}
HUNG = {
    "owner": "ALTER TABLE payments OWNER TO landlord",
    "grants": """GRANT SELECT, UPDATE ON payments TO "book keeper" WITH GRANT OPTION;
        GRANT SELECT ON payments TO PUBLIC;
        SET ROLE "book keeper"; GRANT SELECT ON payments TO auditor; RESET ROLE""",
    "grants on columns": """GRANT SELECT (id, username), UPDATE (email) ON users TO auditor;
        GRANT SELECT (role) ON users TO "book keeper" WITH GRANT OPTION""",
    "rights withheld from the owner": "REVOKE TRUNCATE, TRIGGER ON payments FROM CURRENT_USER",
    "statistics": """CREATE STATISTICS theirs."of payments" (ndistinct, mcv)
            ON client_id, membership_id FROM payments;
        CREATE STATISTICS of_days ON theirs.day(timestamp), client_id FROM payments;
        ALTER STATISTICS of_days SET STATISTICS 300; ALTER STATISTICS of_days OWNER TO landlord;
        COMMENT ON STATISTICS of_days IS 'days'""",
    "trigger": """CREATE TRIGGER "Tell" AFTER UPDATE OF client_id OR INSERT ON payments
            FOR EACH ROW WHEN (NEW.id > 5) EXECUTE FUNCTION theirs.nothing('a', 'b');
        CREATE TRIGGER "x ON public.payments y" AFTER DELETE ON payments
            REFERENCING OLD TABLE AS gone EXECUTE FUNCTION theirs.nothing()""",
    "states of triggers": """
        CREATE TRIGGER a AFTER INSERT ON payments EXECUTE FUNCTION theirs.nothing();
        CREATE TRIGGER b AFTER INSERT ON payments EXECUTE FUNCTION theirs.nothing();
        CREATE TRIGGER c AFTER INSERT ON payments EXECUTE FUNCTION theirs.nothing();
        ALTER TABLE payments DISABLE TRIGGER a; ALTER TABLE payments ENABLE REPLICA TRIGGER b;
        ALTER TABLE payments ENABLE ALWAYS TRIGGER c""",
    "constraint trigger": """CREATE CONSTRAINT TRIGGER later AFTER INSERT ON clients FROM users
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION theirs.nothing();
        COMMENT ON TRIGGER later ON clients IS 'late';
        COMMENT ON CONSTRAINT later ON clients IS 'as late'""",
    "policies": """ALTER TABLE payments ENABLE ROW LEVEL SECURITY;
        ALTER TABLE clients ENABLE ROW LEVEL SECURITY; ALTER TABLE clients FORCE ROW LEVEL SECURITY;
        CREATE POLICY "Own ones" ON payments AS RESTRICTIVE FOR UPDATE TO "book keeper", auditor
            USING (client_id IN (SELECT id FROM clients AS c JOIN theirs.notes AS n USING (id)))
            WITH CHECK (theirs.mine(id));
        CREATE POLICY all_of_it ON payments;
        CREATE POLICY added ON clients FOR INSERT WITH CHECK (EXISTS (
            SELECT FROM users WHERE users.id = clients.user_id AND role = 'USER'))""",
    "publications": """CREATE PUBLICATION "All Payments" FOR TABLE payments;
        CREATE PUBLICATION parts FOR TABLE payments (id, "timestamp") WHERE (id > 5),
            users (id), theirs.notes WITH (publish = 'insert');
        CREATE PUBLICATION everything FOR ALL TABLES;
        CREATE PUBLICATION folder FOR TABLES IN SCHEMA public""",
    "replica identity": """ALTER TABLE users REPLICA IDENTITY FULL;
        ALTER TABLE clients REPLICA IDENTITY NOTHING;
        CREATE UNIQUE INDEX "Known By" ON payments (id, client_id);
        ALTER TABLE payments REPLICA IDENTITY USING INDEX "Known By" """,
    "mark to cluster": "ALTER TABLE users CLUSTER ON users_pkey",
    "comments": """COMMENT ON TABLE payments IS E'It''s @table@ \\\\ 100% "{ours}"';
        COMMENT ON COLUMN payments.timestamp IS 'when';
        COMMENT ON INDEX payments_client_id_id_idx IS 'ours'; COMMENT ON INDEX users_pkey IS 'key';
        COMMENT ON CONSTRAINT users_pkey ON users IS 'key, too';
        COMMENT ON CONSTRAINT clients_user_id_fkey ON clients IS 'of users'""",
    "comments on their own": """CREATE INDEX "Odd" ON payments (id);
        COMMENT ON INDEX "Odd" IS 'odd';
        ALTER TABLE payments ADD CONSTRAINT "Odd one" CHECK (id > 0);
        COMMENT ON CONSTRAINT "Odd one" ON payments IS 'odd';
        CREATE TRIGGER "Odd" AFTER INSERT ON payments EXECUTE FUNCTION theirs.nothing();
        COMMENT ON TRIGGER "Odd" ON payments IS 'odd';
        CREATE POLICY "Odd" ON payments; COMMENT ON POLICY "Odd" ON payments IS 'odd'""",
}
KINDS = {**STORED, **BUILT, **HUNG}
LAST = ("owner", "rights withheld from the owner")
ORDERED = [*(kind for kind in KINDS if kind not in LAST), *LAST]


@pytest.fixture(scope="module")
def _of_the_server(server: str) -> Iterator[None]:
    """What an administrator has on the server, for all databases."""
    with psycopg.connect(server, autocommit=True) as connection:
        for role in ROLES:
            connection.execute(f'DROP ROLE IF EXISTS "{role}"'.encode())
            connection.execute(f'CREATE ROLE "{role}"'.encode())
        connection.execute("SET allow_in_place_tablespaces = on")
        connection.execute("""CREATE TABLESPACE "slow disk" LOCATION ''""")
    yield
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute('DROP TABLESPACE "slow disk"')
        for role in ROLES:
            connection.execute(f'DROP ROLE "{role}"'.encode())


@pytest.fixture
async def shown(_of_the_server: None, database: str) -> str:
    """A database with a short history, which the tables show, and tables of an administrator."""
    await record(database, EVENTS[:SHOWN])
    await follow(database)
    await ask(database, STAY + "GRANT ALL ON SCHEMA public, theirs TO landlord")
    return database


def catalogue(database: str) -> list[str]:
    """All that Postgres' own tool would write down of the database, rows apart."""
    dumped = subprocess.run(
        [
            *(PROGRAMS / "pg_dump", "--schema-only", f"--dbname={database}"),
            "--exclude-schema=club_rebuild_documented",
        ],
        capture_output=True,
        text=True,
    )
    assert dumped.returncode == 0, dumped.stderr
    return [line for line in dumped.stdout.splitlines() if not line.startswith(("\\", "--"))]


def beyond(before: list[str], after: list[str]) -> list[str]:
    return [line for line in after if line and line not in set(before)]


# --- carried -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_what_hangs_on_the_tables_is_there_after_a_rebuild(shown: str, kind: str) -> None:
    bare = catalogue(shown)
    await ask(shown, KINDS[kind])
    before = catalogue(shown)
    assert before != bare
    assert (await rebuilt(shown)).differing == ()
    assert catalogue(shown) == before


async def test_all_of_it_together_is_carried_over_rebuilds_and_to_a_newer_generation(
    shown: str,
) -> None:
    for kind in ORDERED:
        await ask(shown, KINDS[kind])
    before, rows = catalogue(shown), await rows_of(shown)
    for _ in range(2):
        assert (await rebuilt(shown)).differing == ()
        assert catalogue(shown) == before
    await build_forward(Postgres(shown), NEWER)
    assert catalogue(shown) == before
    assert await rows_of(shown) == rows


async def test_rows_are_stored_as_the_administrator_wants_them(shown: str) -> None:
    size = "SELECT pg_relation_size('users')"
    await ask(shown, "ALTER TABLE users SET (fillfactor = 10)")
    ((before,),) = await ask(shown, size)
    await rebuilt(shown)
    ((after,),) = await ask(shown, size)
    assert after > before


async def test_new_tables_grant_nothing_that_the_old_did_not(shown: str) -> None:
    before = catalogue(shown)
    await ask(
        shown,
        """ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC, auditor;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO "book keeper" """,
    )
    await rebuilt(shown)
    await ask(
        shown,
        """ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM PUBLIC, auditor;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON TABLES FROM "book keeper" """,
    )
    assert catalogue(shown) == before


async def test_statistics_of_an_administrator_are_gathered_anew(shown: str) -> None:
    await ask(shown, HUNG["statistics"])
    await rebuilt(shown)
    gathered = await ask(shown, "SELECT statistics_name FROM pg_stats_ext ORDER BY 1")
    assert gathered == [("of payments",), ("of_days",)]


async def test_triggers_do_not_fire_for_what_is_built_again(shown: str) -> None:
    await ask(
        shown,
        """CREATE FUNCTION theirs.count() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM nextval(''theirs.numbers''); RETURN NEW; END';
        CREATE TRIGGER counted BEFORE INSERT OR UPDATE OR DELETE ON payments
            FOR EACH ROW EXECUTE FUNCTION theirs.count()""",
    )
    await rebuilt(shown)
    assert await ask(shown, "SELECT is_called FROM theirs.numbers") == [(False,)]


@pytest.mark.parametrize("shared", [False, True])
async def test_the_constraint_that_comes_and_goes_is_carried_in_both_states(
    database: str, shared: bool
) -> None:
    history = rich(60)
    history.adopt_rules(0, 0)
    history.change_rules(0, int(shared))
    await record(database, history.events)
    await follow(database)
    name = "clients_membership_id_key_off" if shared else "clients_membership_id_key"
    await ask(
        database,
        f"""COMMENT ON INDEX {name} IS 'one holder';
        ALTER INDEX {name} SET (fillfactor = 50)""",
    )
    before = catalogue(database)
    assert any(name in line for line in before)
    assert (await rebuilt(database)).differing == ()
    assert catalogue(database) == before


# --- refused -----------------------------------------------------------------------------------

REFUSED = {
    "column": ("ALTER TABLE payments ADD note text", "column note on payments"),
    "generated column": (
        "ALTER TABLE payments ADD twice integer GENERATED ALWAYS AS (id * 2) STORED",
        "column twice on payments",
    ),
    "identity": (
        """ALTER TABLE payments ALTER id DROP DEFAULT,
        ALTER id ADD GENERATED BY DEFAULT AS IDENTITY""",
        "identity of id on payments",
    ),
    "rule": ("CREATE RULE quiet AS ON DELETE TO payments DO INSTEAD NOTHING", "rule quiet on"),
    "unlogged": (
        "ALTER TABLE payment_accounts SET UNLOGGED",
        "setting UNLOGGED on payment_accounts",
    ),
    "child": ("CREATE TABLE kid () INHERITS (payments)", "table public.kid on payments"),
    "parent": (
        "CREATE TABLE folk (id integer NOT NULL); ALTER TABLE payments INHERIT folk",
        "parent public.folk on payments",
    ),
    "foreign key": (
        """ALTER TABLE payments ADD CONSTRAINT paying
            FOREIGN KEY (client_id) REFERENCES clients NOT VALID""",
        "constraint paying on payments",
    ),
    "foreign key of another table": (
        "ALTER TABLE theirs.notes ADD CONSTRAINT about FOREIGN KEY (user_id) REFERENCES users",
        "constraint about on table theirs.notes on users",
    ),
    "view": ("CREATE VIEW names AS SELECT username FROM users", "view public.names on users"),
    "materialized view": (
        "CREATE MATERIALIZED VIEW kept AS SELECT count(*) FROM payments",
        "materialized view public.kept on payments",
    ),
    "function": (
        "CREATE FUNCTION total() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM payments; END",
        r"function public.total\(\) on payments",
    ),
    "function of rows": (
        "CREATE FUNCTION worth(payments) RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        r"function public.worth\(public.payments\) on payments",
    ),
    "column of rows": (
        "ALTER TABLE theirs.notes ADD old payments[]",
        "column old of table theirs.notes on payments",
    ),
    "rule of another table": (
        "CREATE RULE too AS ON DELETE TO theirs.notes DO ALSO DELETE FROM payments",
        "rule too on table theirs.notes on payments",
    ),
    "policy of another table": (
        "CREATE POLICY known ON theirs.notes USING (EXISTS (SELECT FROM users WHERE id = user_id))",
        "policy known on table theirs.notes on users",
    ),
    "owned sequence": (
        "ALTER SEQUENCE payments_id_seq OWNED BY payments.id",
        "owned sequence public.payments_id_seq on payments",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
async def test_what_cannot_be_carried_is_named_and_nothing_is_exchanged(
    shown: str, kind: str
) -> None:
    hung, named = REFUSED[kind]
    await ask(shown, hung)
    before, rows = catalogue(shown), await rows_of(shown)
    tables = await ask(shown, TABLES)
    with pytest.raises(CannotBeCarried, match=named) as refused:
        await rebuilt(shown)
    assert "Nothing was exchanged" in str(refused.value)
    assert await ask(shown, BESIDE) == [], "nothing is left lying about"
    assert catalogue(shown) == before
    assert await rows_of(shown) == rows
    assert await ask(shown, TABLES) == tables


TABLES = """
SELECT relname, oid FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1
"""


async def test_all_that_cannot_be_carried_is_named_at_once_and_before_the_work(
    shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("view", "column", "rule", "foreign key of another table"):
        await ask(shown, REFUSED[kind][0])

    async def work(*_: object) -> None:
        pytest.fail("it is refused before")

    monkeypatch.setattr("infra.following.builder.Builder.catch_up_nearly", work)
    with pytest.raises(CannotBeCarried) as refused:
        await rebuilt(shown)
    for kind in ("view", "column", "rule", "foreign key of another table"):
        assert REFUSED[kind][1] in str(refused.value)


async def test_the_command_line_refuses_in_a_sentence(shown: str, settings: Settings) -> None:
    await ask(shown, REFUSED["view"][0])
    with rebuilding(shown, settings) as process:
        said, complaint = await asyncio.to_thread(process.communicate, timeout=60)
    assert (process.returncode, said) == (1, "")
    assert "view public.names on users" in complaint
    assert "Traceback" not in complaint


async def test_rows_that_an_administrators_constraint_forbids_are_refused_by_its_name(
    shown: str,
) -> None:
    await ask(
        shown,
        """CREATE FUNCTION theirs.fine(integer) RETURNS boolean IMMUTABLE LANGUAGE sql
            AS 'SELECT TRUE';
        ALTER TABLE payments ADD CONSTRAINT fine CHECK (theirs.fine(id));
        CREATE OR REPLACE FUNCTION theirs.fine(integer) RETURNS boolean IMMUTABLE LANGUAGE sql
            AS 'SELECT FALSE'""",
    )
    with pytest.raises(CannotBeCarried, match="constraint fine on payments"):
        await rebuilt(shown)


# --- a newer generation ------------------------------------------------------------------------

NEWER = replace(DOCUMENTED, generation=DOCUMENTED.generation + 1)


def changed(**tables: Table) -> Group:
    """The next release, with these tables otherwise."""
    models = [
        replace(model, tables=tuple(tables.get(table.name, table) for table in model.tables))
        for model in NEWER.models
    ]
    return replace(NEWER, models=tuple(models))


PAYMENTS = next(table for table in DOCUMENTED.tables if table.name == "payments")
WIDER = replace(PAYMENTS, columns=f"{PAYMENTS.columns}, note text")
"""Payments of the next release have one column more."""


async def forward(database: str, group: Group) -> None:
    await build_forward(Postgres(database), group)


async def test_columns_and_indexes_that_are_the_clubs_own_come_and_go(shown: str) -> None:
    for kind in ("index", "grants", "trigger", "policies", "comments", "fillfactor"):
        await ask(shown, KINDS[kind])
    before = catalogue(shown)
    wider = changed(payments=replace(WIDER, indexes=(*PAYMENTS.indexes, "(note)")))
    await forward(shown, wider)
    assert beyond(before, catalogue(shown)) == [
        '    "timestamp" timestamp with time zone,',
        "    note text",
        "CREATE INDEX payments_note_idx ON public.payments USING btree (note);",
    ]
    await forward(shown, replace(DOCUMENTED, generation=wider.generation + 1))
    assert catalogue(shown) == before


@pytest.mark.parametrize(
    ("hung", "named"),
    [
        ("COMMENT ON COLUMN payments.note IS 'nice'", "comment on note on payments"),
        ("GRANT SELECT (note) ON payments TO auditor", "grant on note to auditor on payments"),
        ("CREATE INDEX noted ON payments (note)", r"index noted on payments \(column .note. "),
        ("COMMENT ON INDEX payments_note_idx IS '!'", "comment on index payments_note_idx on"),
        ("CREATE POLICY p ON payments USING (note = 'a')", "policy p on payments"),
    ],
)
async def test_what_hangs_on_a_column_that_goes_is_named(shown: str, hung: str, named: str) -> None:
    wider = changed(payments=replace(WIDER, indexes=(*PAYMENTS.indexes, "(note)")))
    await forward(shown, wider)
    await ask(shown, hung)
    before = catalogue(shown)
    with pytest.raises(CannotBeCarried, match=named):
        await forward(shown, replace(DOCUMENTED, generation=wider.generation + 1))
    assert catalogue(shown) == before


async def test_an_index_that_the_next_release_brings_itself_is_there_once(shown: str) -> None:
    await ask(
        shown,
        """CREATE INDEX ON payments (membership_id);
        ALTER TABLE payments ADD CONSTRAINT payments_id_check CHECK (id > 0)""",
    )
    before = catalogue(shown)
    payments = replace(
        PAYMENTS, indexes=(*PAYMENTS.indexes, "(membership_id)"), constraints=("CHECK (id > 0)",)
    )
    await forward(shown, changed(payments=payments))
    assert catalogue(shown) == before


async def test_an_index_whose_name_the_next_release_takes_is_refused(shown: str) -> None:
    await ask(shown, "CREATE INDEX payments_membership_id_idx ON payments (membership_id, id)")
    payments = replace(PAYMENTS, indexes=(*PAYMENTS.indexes, "(membership_id)"))
    with pytest.raises(CannotBeCarried, match="index payments_membership_id_idx on payments"):
        await forward(shown, changed(payments=payments))


@pytest.mark.parametrize(
    "foreign", ["CREATE TABLE extras ()", "CREATE INDEX extras_pkey ON theirs_here (id)"]
)
async def test_a_table_whose_name_is_taken_is_refused(shown: str, foreign: str) -> None:
    await ask(shown, f"CREATE TABLE theirs_here (id integer); {foreign}")
    extras = Table("extras", ("id",), "id integer NOT NULL")
    *models, last = NEWER.models
    newer = replace(NEWER, models=(*models, replace(last, tables=(*last.tables, extras))))
    before = catalogue(shown)
    with pytest.raises(NamesTaken, match="extras"):
        await forward(shown, newer)
    assert catalogue(shown) == before


async def test_what_hangs_on_a_table_that_goes_is_named(shown: str) -> None:
    without = replace(NEWER, models=tuple(m for m in NEWER.models if m.name != "reports"))
    await ask(shown, "GRANT SELECT ON simple_report TO auditor")
    with pytest.raises(CannotBeCarried, match="grant to auditor on simple_report"):
        await forward(shown, without)
    await ask(shown, "REVOKE SELECT ON simple_report FROM auditor")
    await forward(shown, without)
    assert await ask(shown, "SELECT to_regclass('simple_report')") == [(None,)]


async def test_tables_of_a_release_that_kept_no_list_are_carried_over_alike(shown: str) -> None:
    for kind in ("index", "grants", "comments", "check", "not null", "default"):
        await ask(shown, KINDS[kind])
    await ask(shown, "UPDATE read_groups SET made = '{}'")
    before = catalogue(shown)
    await rebuilt(shown)
    assert catalogue(shown) == before
    await ask(shown, "ALTER TABLE payments ADD note text")
    await ask(shown, "UPDATE read_groups SET made = '{}'")
    with pytest.raises(CannotBeCarried, match="column note on payments"):
        await rebuilt(shown)


# --- meanwhile ---------------------------------------------------------------------------------


Meanwhile = Callable[[Callable[[], Awaitable[None]]], None]


@pytest.fixture
def meanwhile(shown: str, monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Has something happen when the new tables are full, and before they are exchanged."""

    def happens(what: Callable[[], Awaitable[None]]) -> None:
        async def compare(*_: object) -> tuple[str, ...]:
            await what()
            return ()

        monkeypatch.setattr("infra.following.rebuilding.compare", compare)

    return happens


@pytest.mark.parametrize("kind", [*KINDS, "all"])
async def test_what_is_added_while_a_rebuild_is_under_way_is_carried_over(
    shown: str, meanwhile: Meanwhile, kind: str
) -> None:
    before: list[str] = []

    async def added() -> None:
        for one in ORDERED if kind == "all" else [kind]:
            await ask(shown, KINDS[one])
        before.extend(catalogue(shown))

    meanwhile(added)
    await rebuilt(shown)
    assert catalogue(shown) == before


async def test_what_is_taken_away_while_a_rebuild_is_under_way_is_gone_or_named(
    shown: str, meanwhile: Meanwhile
) -> None:
    await ask(shown, f"{BUILT['index']}; {HUNG['trigger']}; {STORED['fillfactor']}")
    rows = await rows_of(shown)
    tables = await ask(shown, TABLES)

    async def taken_away() -> None:
        await ask(shown, 'DROP TRIGGER IF EXISTS "Tell" ON payments')
        await ask(shown, "DROP INDEX IF EXISTS payments_by_day")
        await ask(shown, "ALTER TABLE payments SET (fillfactor = 71)")

    meanwhile(taken_away)
    with pytest.raises(ChangedMeanwhile) as refused:
        await rebuilt(shown)
    assert "index payments_by_day on payments" in str(refused.value)
    assert "storage on payments" in str(refused.value)
    assert await rows_of(shown) == rows
    assert await ask(shown, "SELECT oid FROM pg_class WHERE relname = 'payments'") != []
    before = catalogue(shown)
    assert (await ask(shown, TABLES)) == [t for t in tables if t[0] != "payments_by_day"]
    await rebuilt(shown)
    assert catalogue(shown) == before


async def test_what_cannot_be_carried_is_named_also_when_it_comes_in_the_last_moment(
    shown: str, meanwhile: Meanwhile
) -> None:
    async def built_upon() -> None:
        await ask(shown, REFUSED["view"][0])

    meanwhile(built_upon)
    tables = await ask(shown, TABLES)
    with pytest.raises(CannotBeCarried, match=REFUSED["view"][1]):
        await rebuilt(shown)
    assert await ask(shown, "SELECT 1 FROM names") != []
    assert [t for t in await ask(shown, TABLES) if t[0] != "names"] == tables
    assert await ask(shown, BESIDE) == [], "nothing is left lying about"


async def test_events_of_the_last_moment_are_taken_in_before_anything_is_hung(
    shown: str, meanwhile: Meanwhile
) -> None:
    """Their deferred constraints are checked by then: Postgres alters no table before."""
    for kind in ("policies", "grants", "trigger", "owner", "replica identity"):
        await ask(shown, KINDS[kind])
    before = catalogue(shown)

    async def happened() -> None:
        await record(shown, EVENTS[SHOWN:], head=SHOWN)

    meanwhile(happened)
    done = await rebuilt(shown)
    assert done.position == len(EVENTS)
    differing = set(catalogue(shown)) ^ set(before)
    assert all("clients_membership_id_key" in line for line in differing), "the rules changed it"


async def test_rows_that_a_constraint_of_an_administrator_forbids_later_are_refused(
    shown: str, meanwhile: Meanwhile
) -> None:
    ((most,),) = await ask(shown, "SELECT max(id) FROM payments")
    await ask(shown, f"ALTER TABLE payments ADD CONSTRAINT few CHECK (id <= {most})")

    async def happened() -> None:
        await record(shown, EVENTS[SHOWN:], head=SHOWN)

    meanwhile(happened)
    with pytest.raises(TablesTooStrict, match="few"):
        await rebuilt(shown)


# --- the exchange itself -----------------------------------------------------------------------


async def test_readers_hardly_wait_for_an_index_that_takes_long_to_build(
    shown: str, meanwhile: Meanwhile
) -> None:
    """It is built beside, also one that was added during the rebuild."""
    await ask(
        shown,
        """CREATE FUNCTION theirs.slowly(integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql
            AS 'BEGIN PERFORM pg_sleep(0.4); RETURN $1; END';
        CREATE INDEX users_slowly ON users (theirs.slowly(id))""",
    )

    async def added() -> None:
        await ask(shown, "CREATE INDEX users_slower ON users (theirs.slowly(id), email)")

    meanwhile(added)
    waits: list[float] = []
    ((users,),) = await ask(shown, "SELECT count(*) FROM users")
    running = asyncio.create_task(rebuilt(shown))
    async with connected(shown) as reader:
        while not running.done():
            started = time.monotonic()
            await reader.execute("SELECT count(*) FROM users")
            waits.append(time.monotonic() - started)
            await asyncio.sleep(0.01)
    await running
    assert users * 0.4 > 2, "each of them takes so many seconds"
    assert max(waits) < 1
    assert await ask(shown, "SELECT to_regclass('users_slowly'), to_regclass('users_slower')") == [
        ("users_slowly", "users_slower")
    ]


PAUSED = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND wait_event = 'PgSleep' AND application_name = 'club'
"""
MOMENTS = ("DROP TABLE", "ALTER TABLE", "GRANT", "CREATE TRIGGER", "CREATE POLICY", "COMMENT")
"""What the exchange does, from its first change to its last."""


@pytest.fixture
async def pausing(shown: str) -> Callable[[str], Awaitable[None]]:
    """Has a rebuild pause for a second within its exchange, after some statement."""

    async def pause_after(tag: str) -> None:
        await ask(
            shown,
            f"""CREATE FUNCTION theirs.pause() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
                IF current_setting('application_name') = 'club' AND 'documented' IN (
                    SELECT name FROM read_groups
                    WHERE xmax::text::bigint = txid_current() % (1::bigint << 32)
                ) THEN PERFORM pg_sleep(1); END IF; END $$;
            CREATE EVENT TRIGGER pausing ON ddl_command_end WHEN TAG IN ('{tag}')
                EXECUTE FUNCTION theirs.pause()""",
        )

    return pause_after


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("end", ["killed", "cut off"])
async def test_a_rebuild_that_ends_within_the_exchange_leaves_all_in_place(
    shown: str,
    settings: Settings,
    pausing: Callable[[str], Awaitable[None]],
    moment: str,
    end: str,
) -> None:
    for kind in ("index", "grants", "trigger", "policies", "comments"):
        await ask(shown, KINDS[kind])
    before, rows = catalogue(shown), await rows_of(shown)
    tables = await ask(shown, TABLES)
    await pausing(moment)
    with rebuilding(shown, settings) as process:
        ((pid,),) = await until(lambda: ask(shown, PAUSED), "it is within the exchange")
        if end == "killed":
            process.kill()
        else:
            await ask(shown, "SELECT pg_terminate_backend(%s)", pid)
        await asyncio.to_thread(process.communicate, timeout=60)
        assert process.returncode != 0
    await ask(shown, "DROP EVENT TRIGGER pausing; DROP FUNCTION theirs.pause()")

    async def gone() -> bool:
        return not await ask(shown, "SELECT FROM pg_locks WHERE locktype = 'advisory'")

    await until(gone, "its connections are cleared away")
    assert await ask(shown, TABLES) == tables
    assert await rows_of(shown) == rows
    await rebuilt(shown)
    assert catalogue(shown) == before
    assert await rows_of(shown) == rows
