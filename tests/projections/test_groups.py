"""Groups of read models: folds and sums in any batches, and definitions that tell what changed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.aggregate import Event
from domain.clients import STATUS_AFTER, Client, Deleted, Registered, StatusEvent
from domain.memberships import Added
from domain.recorded import Recorded
from infra.following.projecting import Projector
from infra.following.rebuilding import make_missing, rebuild
from infra.following.watch import Watch
from infra.ledger.postgres import Postgres
from projections.catalogue import DOCUMENTED, GROUPS
from projections.engine.folding import Tripped, fold_batch, keys
from projections.engine.model import Fold, Group, ReadModel, Stepped
from projections.engine.schema import create_tables
from projections.engine.table import Add, Operations, Put, Remove, Row, Table
from projections.engine.writing import project
from tests.projections.histories import ACTIONS, Choice, History, as_recorded, batches, record, rich
from tests.projections.lapses import ASKED, LAPSES, LAPSING, STANDINGS, count

Connection = psycopg.AsyncConnection[Any]

actions = st.sampled_from(sorted(ACTIONS)) | st.sampled_from(
    sorted(name for name in ACTIONS if name.endswith(("client", "status", "membership")))
)
choices = st.lists(st.tuples(actions, st.integers(0, 9), st.integers(0, 9)), max_size=60)
sizes = st.lists(st.integers(1, 12), max_size=60)

ROWS = "SELECT '{0}', t::text FROM {0} AS t"
EVERY_ROW = " UNION ALL ".join(ROWS.format(table.name) for table in LAPSING.tables)


@asynccontextmanager
async def undone(database: str) -> AsyncIterator[Connection]:
    """A connection with the group's tables, in one transaction that is rolled back."""
    async with await psycopg.AsyncConnection.connect(
        database, options="-c timezone=UTC"
    ) as connection:
        await create_tables(connection, LAPSING.tables)
        yield connection
        await connection.rollback()


async def rows_of(database: str, parts: Iterable[Sequence[Event]]) -> list[tuple[str, str]]:
    async with undone(database) as connection:
        head = 0
        for events in parts:
            await project(LAPSING, as_recorded(events, head), connection)
            head += len(events)
        cursor = await connection.execute(f"{EVERY_ROW} ORDER BY 1, 2".encode())
        return await cursor.fetchall()


def told(events: Iterable[Event]) -> dict[str, Any]:
    """The same, by hand and one event after the other."""
    standing: dict[int, str] = {}
    lapses: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    price = Decimal(0)
    for event in events:
        if event.kind in LAPSING.kinds:
            kinds[event.kind] += 1
        match event:
            case Registered():
                standing[event.number] = event.status
            case StatusEvent():
                after = STATUS_AFTER[type(event)].value
                if standing[event.number] == "ACTIVE" and after != "ACTIVE":
                    lapses[event.timestamp.strftime("%Y-%m")] += 1
                standing[event.number] = after
            case Deleted(originator_id=stream) if stream.startswith("client-"):
                del standing[event.number]
            case Added():
                price += Decimal(event.price)
            case _:
                pass
    return {"standing": standing, "lapses": lapses, "kinds": kinds, "price": price}


async def read(connection: Connection) -> dict[str, Any]:
    async def pairs(sql: str) -> dict[Any, Any]:
        return dict(await (await connection.execute(sql.encode())).fetchall())

    prices = await pairs("SELECT kind, price FROM test_asked WHERE kind = 'membership'")
    return {
        "standing": await pairs("SELECT client_id, status FROM test_standings"),
        "lapses": Counter(await pairs("SELECT month, times FROM test_lapses")),
        "kinds": Counter(await pairs("SELECT kind, events FROM test_asked")),
        "price": prices.get("membership", Decimal(0)),
    }


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(choices, sizes)
def test_folds_and_sums_are_the_same_in_any_batches(
    database: str, choices: list[Choice], sizes: list[int]
) -> None:
    events = History.of(choices).events

    async def show() -> dict[str, Any]:
        async with undone(database) as connection:
            head = 0
            for part in batches(events, sizes):
                await project(LAPSING, as_recorded(part, head), connection)
                head += len(part)
            return await read(connection)

    assert asyncio.run(show()) == told(events)


async def test_a_rich_history_gives_the_same_rows_one_by_one_and_all_at_once(database: str) -> None:
    events = rich(1500).events
    together = await rows_of(database, [events])
    assert together == await rows_of(database, ([event] for event in events))
    assert {name for name, _ in together} == {table.name for table in LAPSING.tables}


async def test_a_group_beside_the_documented_one_follows_and_is_rebuilt_by_itself(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.following.builder.BATCH", 40)
    events = rich(600).events
    await record(database, events)
    postgres = Postgres(database)
    await make_missing(postgres, [DOCUMENTED, LAPSING])
    projector = Projector(postgres, LAPSING, Watch())
    async with await postgres.connect() as connection:
        while await projector.step(connection):
            pass
        assert await read(connection) == told(events)
        await connection.execute("UPDATE test_standings SET status = 'tampered'")
        await connection.commit()
        done = await rebuild(postgres, LAPSING)
        assert (done.position, done.differing) == (len(events), (STANDINGS.name,))
        assert await read(connection) == told(events)
        cursor = await connection.execute("SELECT name, position FROM read_groups")
        positions = dict(await cursor.fetchall())
    assert positions.pop(LAPSING.name) == len(events)
    assert set(positions.values()) == {0}


def test_each_row_of_a_fold_is_asked_for_once_and_written_once() -> None:
    history = History.of([("change_client", 0, n) for n in range(6)])
    recorded = as_recorded(history.events)
    ((table, wanted),) = keys(LAPSING, recorded).values()
    assert table is STANDINGS
    assert wanted == {(client.number,) for client in history.living(Client)}
    (changes,) = fold_batch(LAPSING, recorded)
    assert changes.tables[STANDINGS.name].puts.keys() == wanted
    assert not changes.tables[STANDINGS.name].patches


# --- faults in the code of a read model ----------------------------------------------------------


def failing(recorded: Recorded) -> Operations:
    if recorded.position == 3:
        raise ZeroDivisionError("of ours")
    return ()


def stumbling(_: Row | None, recorded: Recorded) -> Stepped:
    if recorded.position == 3:
        raise ZeroDivisionError("of ours")
    return Stepped(None)


@pytest.mark.parametrize(
    "model",
    [
        ReadModel("projects", tuple(DOCUMENTED.kinds), (ASKED,), failing),
        ReadModel(
            "finds the key",
            tuple(DOCUMENTED.kinds),
            (STANDINGS,),
            folds=(Fold(STANDINGS, lambda r: (1 // (3 - r.position),), lambda *_: Stepped(None)),),
        ),
        ReadModel(
            "steps",
            tuple(DOCUMENTED.kinds),
            (STANDINGS,),
            folds=(Fold(STANDINGS, lambda _: (1,), stumbling),),
        ),
    ],
    ids=lambda model: model.name,
)
def test_a_fault_names_its_event(model: ReadModel) -> None:
    group = Group("failing", 1, (model,))
    recorded = as_recorded(History.of([]).events)

    def all_of_it() -> None:
        keys(group, recorded)
        fold_batch(group, recorded)

    with pytest.raises(Tripped) as tripped:
        all_of_it()
    assert (tripped.value.position, tripped.value.index) == (3, 2)
    assert tripped.value.topic == recorded[2].event.TOPIC
    assert "Error" in tripped.value.reason


def failing_at_nine(recorded: Recorded) -> None:
    if recorded.position == 9:
        raise ZeroDivisionError("of ours")


async def test_what_came_before_a_fault_is_there_wherever_the_fault_is(database: str) -> None:
    events = History.of([]).events
    await record(database, events)
    postgres = Postgres(database)
    stumbling_group = replace(
        LAPSING,
        models=(
            *LAPSING.models,
            ReadModel(
                "stumbles over a key",
                tuple(DOCUMENTED.kinds),
                (),
                folds=(
                    Fold(STANDINGS, lambda r: None if 9 - r.position else (1 // 0,), stumbling),
                ),
            ),
        ),
    )
    await make_missing(postgres, [stumbling_group])
    projector = Projector(postgres, stumbling_group, Watch())
    async with await postgres.connect() as connection:
        assert await projector.step(connection) == 8
        with pytest.raises(Tripped) as tripped:
            await projector.step(connection)
    assert tripped.value.position == 9


# --- definitions ---------------------------------------------------------------------------------

T = Table("t", ("id",), "id integer NOT NULL")


def one(recorded: Recorded) -> Operations:
    """What it says here does not matter."""
    yield Put(T, {"id": _number(recorded)})  # nor does this


def another(recorded: Recorded) -> Operations:
    yield Remove(T, (_number(recorded),))


def _number(recorded: Recorded) -> int:
    return recorded.position


def group(**changed: Any) -> Group:
    model = replace(ReadModel("m", ("client",), (T,), one), **changed)
    return Group("g", 1, (model,))


def test_a_definition_is_of_the_tables_and_of_all_that_fills_them() -> None:
    same = group().definition
    assert group().definition == same
    assert replace(group(), generation=2).definition == same, "the number is no part of it"
    others = {
        group(project=another).definition,
        group(listens_to=("client", "user")).definition,
        group(tables=(replace(T, columns="id bigint NOT NULL"),)).definition,
        group(tables=(replace(T, indexes=("(id)",)),)).definition,
        group(folds=(Fold(T, lambda _: None, lambda row, _: Stepped(row)),)).definition,
        group(project=count).definition,
    }
    assert same not in others
    assert len(others) == 6


def test_a_helper_is_a_part_of_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    before = group().definition
    monkeypatch.setitem(one.__globals__, "_number", lambda recorded: recorded.position + 1)
    assert group().definition != before


LAYOUTS = (
    """
def one(recorded):
    yield Put(T, {"id": recorded.position})
""",
    '''
def one(recorded):
    """A word about it."""

    # And another.
    yield Put(
        T, {"id": recorded.position}  # here
    )
''',
)


def test_comments_and_layout_are_no_part_of_it(tmp_path: Any, monkeypatch: Any) -> None:
    definitions = set()
    for number, source in enumerate(LAYOUTS):
        path = tmp_path / f"laid_out_{number}.py"
        path.write_text(source)
        room: dict[str, Any] = {"__name__": "laid_out", "Put": Put, "T": T}
        exec(compile(source, path, "exec"), room)
        definitions.add(group(project=room["one"]).definition)
    assert len(definitions) == 1


def test_groups_share_no_table_and_no_name() -> None:
    names = [table.name for one in GROUPS for table in one.tables]
    assert len(set(names)) == len(names)
    assert len({one.name for one in GROUPS}) == len(GROUPS)
    assert LAPSES.name not in names


def test_sums_are_exact() -> None:
    recorded = as_recorded(History.of([]).events)
    tenth = ReadModel(
        "tenths", ("user",), (ASKED,), lambda _: [Add(ASKED, ("all",), {"price": Decimal("0.10")})]
    )
    (changes,) = fold_batch(Group("tenths", 1, (tenth,)), recorded)
    users = sum(one.event.kind == "user" for one in recorded)
    assert changes.tables[ASKED.name].sums == {("all",): {"price": Decimal("0.10") * users}}
