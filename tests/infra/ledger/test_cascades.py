"""Large cascades: one look, one check, all or nothing, and rightly whoever comes in between."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from application.access import THE_CLUB
from application.bus import Outcome
from application.clients import ChangeClient, DeleteClient, RegisterClient
from application.command import Command, Context
from application.exercises import DeleteExercise
from application.memberships import AddMembership, MembershipBody
from application.ports.ledger import (
    AlreadyDone,
    ReceiptKey,
    StaleDecision,
)
from application.rules import ChangeRules
from application.trainings import PlanTraining, TrainingBody, TrainingWithExercises
from application.users import DeleteUser, NewUser, RegisterUser
from domain.aggregate import Aggregate, Facts
from domain.clients import Client
from domain.exercises import Exercise
from domain.refusals import NotFound, UnknownReference
from domain.rules import StillShared
from domain.sessions import Session
from domain.training_plans import TrainingPlan
from domain.trainings import Training
from infra.bootstrap import Club, open_club
from infra.following.rebuilding import rebuild
from infra.ledger.bulk import LARGE, BulkWriter
from infra.ledger.postgres import Postgres
from infra.ledger.schema import LOCK, SEQUENCES
from infra.ledger.writer import Entry
from infra.settings import Settings
from projections.catalogue import DOCUMENTED
from tests.application.scene import client_body
from tests.benchmarks.seeding import (
    CLIENT,
    DOING,
    append,
    membership,
    numbers,
    open_ledger,
    user,
)
from tests.infra.ledger.scenes import entry, look, outcomes, until, writing
from tests.infra.ledger.test_writer import joined, nobody_joined, receipt

ROOT = Path(__file__).parents[3]
MANY = LARGE + 200
AT = datetime(2026, 1, 31, 9, tzinfo=UTC)

CASCADE = """
import asyncio, sys
from pathlib import Path
from application.access import THE_CLUB
from application.command import Context
from application.exercises import DeleteExercise
from infra.bootstrap import open_club
from infra.settings import Settings

async def delete(url, home):
    async with open_club(Settings(home=Path(home), database_url=url), projecting=False) as club:
        await club.bus.execute(DeleteExercise(1), Context(THE_CLUB, "scene", visible=False))

asyncio.run(delete(*sys.argv[1:]))
"""


async def fill(url: str, trainings: int, plans: int = 0) -> None:
    """Client 1 with so many trainings, each with exercise 1 and in each plan; nothing is shown."""
    async with open_ledger(url) as ledger:
        (exercise_id,) = await numbers(ledger, Exercise, 1)
        facts = {"title": "Squat", "description": None, "muscle_group": None}
        things: list[Aggregate] = [
            Exercise.add(
                exercise_id,
                facts | {"equipment_required": False, "complexity_lvl": "BEGINNER"},
                AT,
            ),
            user(1, AT),
            membership(1, AT),
            Client.register(1, CLIENT | {"user_id": 1, "membership_id": 1}, AT),
        ]
        held = await numbers(ledger, Training, trainings)
        for number in held:
            training = Training.plan(
                number,
                {
                    **dict.fromkeys(("training_type", "intensity", "date", "description")),
                    "client_id": 1,
                    "title": "Legs",
                    "duration_min": 45,
                },
                AT,
            )
            training.add_exercise(exercise_id, DOING, AT)
            things.append(training)
        for number in await numbers(ledger, TrainingPlan, plans):
            about: Facts = {
                "user_id": 1,
                "title": "Spring",
                "description": None,
                "status": "ACTIVE",
            }
            plan = TrainingPlan.draw_up(number, about, AT)
            plan.pin_to(1, AT)
            for training_id in held:
                plan.add_training(training_id, AT)
            things.append(plan)
        await append(ledger, iter(things))
    for kind, many in {"client": 1, "user": 1, "membership": 1}.items():
        look(url, "SELECT setval(%s, %s)", SEQUENCES[kind], many)


@pytest.fixture
async def behind(settings: Settings) -> AsyncIterator[Club]:
    """A club whose tables nobody projects into."""
    async with open_club(settings, projecting=False) as opened:
        yield opened


async def do(club: Club, command: Command, key: str | None = None) -> Outcome:
    named = None if key is None else ReceiptKey("scene", key)
    return await club.bus.execute(command, Context(THE_CLUB, "scene", key=named, visible=False))


async def live(club: Club, kind: type[Aggregate], upto: int) -> Sequence[Aggregate]:
    """Those that are there, by the ledger alone."""
    found = await club.bus._repository.read([kind.stream(n) for n in range(1, upto + 1)])
    return [aggregate for aggregate in found.values() if not aggregate.deleted]


async def until_refused(club: Club, command: Command) -> int:
    """Ask for it again and again, until what it refers to is gone; how often it was done."""
    for times in count():
        try:
            await do(club, command)
        except UnknownReference:
            return times
    raise AssertionError


def events(url: str, topic: str) -> int:
    return int(look(url, "SELECT count(*) FROM ledger_events WHERE topic = %s", topic)[0][0])


# --- one look ----------------------------------------------------------------------------------


async def test_a_client_with_500_trainings_is_deleted_at_once_while_nobody_projects(
    database: str, behind: Club, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(database, 500, plans=3)
    asked: list[str] = []
    referring = behind.services.read_side.referring

    async def counted(reference: str, of: Sequence[int]) -> object:
        asked.append(reference)
        return await referring(reference, of)

    async def waited(_: int) -> bool:
        raise AssertionError("no decision waits for the tables")

    monkeypatch.setattr(behind.services.read_side, "referring", counted)
    monkeypatch.setattr(behind.services.read_side, "reached", waited)
    await do(behind, DeleteClient(1))

    assert sorted(asked) == ["plans of client", "plans with training", "trainings of client"]
    assert await live(behind, Training, 500) == []
    assert events(database, "training-plan.training-removed") == 1500
    assert events(database, "training-plan.unpinned-from-client") == 3
    assert look(
        database,
        "SELECT count(DISTINCT causation_id) FROM ledger_events"
        " WHERE topic = 'training-plan.training-removed'",
    ) == [(500,)], "each is caused by the end of its own training"


async def test_a_cascade_is_shown_as_a_rebuild_shows_it(database: str, settings: Settings) -> None:
    await fill(database, MANY, plans=1)
    async with open_club(settings) as club:
        outcome = await do(club, DeleteClient(1))
        assert await club.watch.reached(outcome.position, 30)
        assert look(database, "SELECT count(*) FROM trainings_exercises") == [(0,)]
        assert (await rebuild(club.postgres, DOCUMENTED)).differing == ()


async def test_a_cascade_leaves_what_is_known_alone(
    database: str, behind: Club, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(database, MANY)
    known = behind.bus._repository._known
    before = set(known)
    await do(behind, DeleteExercise(1))
    assert set(known) == before


@pytest.mark.parametrize("shown", [True, False])
async def test_sessions_that_ran_out_long_ago_are_not_loaded_to_be_ended(
    database: str, settings: Settings, monkeypatch: pytest.MonkeyPatch, *, shown: bool
) -> None:
    now = datetime.now(UTC)
    ends = [now - timedelta(days=300 - n) for n in range(200)] + [now + timedelta(days=3)] * 2
    opened = [
        Session.open(n, user_id=1, ends_at=at, origin="", agent="", at=at - timedelta(days=30))
        for n, at in enumerate(ends, start=1)
    ]
    async with open_ledger(database) as ledger:
        await append(ledger, iter([user(1, AT), *opened]))
        head = await ledger.head()
    async with open_club(settings, projecting=shown) as club:
        if shown:
            assert await club.watch.reached(head, 30)
        loaded: list[str] = []
        streams = club.ledger.streams

        async def counted(ids: Sequence[str]) -> object:
            loaded.extend(ids)
            return await streams(ids)

        monkeypatch.setattr(club.ledger, "streams", counted)
        await do(club, DeleteUser(1))
    assert [stream for stream in loaded if stream.startswith("session-")] == [
        "session-201",
        "session-202",
    ]
    assert events(database, "session.ended") == 2


async def test_sharing_ends_by_what_the_ledger_says_while_nobody_projects(behind: Club) -> None:
    for name in ("ada", "bob"):
        body = NewUser(username=name, email=f"{name}@example.com", password="long enough")
        await do(behind, RegisterUser(body))
    for _ in range(2):
        await do(behind, AddMembership(MembershipBody(price="9.90")))
    await do(behind, ChangeRules({"shared_memberships": True}))
    for user_id in (1, 2):
        await do(behind, RegisterClient(client_body(user_id=user_id, membership_id=1)))
    with pytest.raises(StillShared):
        await do(behind, ChangeRules({"shared_memberships": False}))
    await do(behind, ChangeClient(2, {"membership_id": 2}))
    await do(behind, ChangeRules({"shared_memberships": False}))


# --- who comes in between ----------------------------------------------------------------------


async def test_no_training_is_left_of_a_client_who_is_deleted_while_trainings_are_planned(
    database: str, behind: Club, settings: Settings
) -> None:
    await fill(database, MANY)
    plan = PlanTraining(TrainingBody(client_id=1, title="Arms"))
    async with open_club(settings, projecting=False) as other:
        deleting = asyncio.create_task(do(behind, DeleteClient(1)))
        clubs = (other, other, behind)
        planned = sum(await asyncio.gather(*(until_refused(club, plan) for club in clubs)))
        await deleting
    assert planned > 0
    assert await live(behind, Training, MANY + planned + 500) == []
    assert events(database, "training.deleted") == MANY + planned


async def test_no_training_keeps_an_exercise_that_is_deleted_while_trainings_take_it_up(
    database: str, behind: Club, settings: Settings
) -> None:
    await fill(database, MANY)
    plan = PlanTraining(TrainingWithExercises(client_id=1, title="Arms", exercise_ids=[1]))
    async with open_club(settings, projecting=False) as other:
        deleting = asyncio.create_task(do(behind, DeleteExercise(1)))
        taken = sum(await asyncio.gather(*(until_refused(c, plan) for c in (other, behind))))
        await deleting
    assert taken > 0
    for training in await live(behind, Training, MANY + taken + 500):
        assert isinstance(training, Training)
        assert training.exercises == {}
    assert events(database, "training.exercise-removed") == MANY + taken


async def test_two_cascades_over_the_same_trainings_are_both_done(
    database: str, behind: Club, settings: Settings
) -> None:
    await fill(database, MANY, plans=1)
    async with open_club(settings, projecting=False) as other:
        await asyncio.gather(do(behind, DeleteClient(1)), do(other, DeleteExercise(1)))
    assert await live(behind, Training, MANY) == []
    assert events(database, "training.exercise-removed") == MANY, "each once"
    (plan,) = await live(behind, TrainingPlan, 1)
    assert isinstance(plan, TrainingPlan)
    assert (plan.training_ids, plan.pinned) == (set(), {})


async def test_the_same_cascade_at_once_in_two_processes_happens_once(
    database: str, behind: Club, settings: Settings
) -> None:
    await fill(database, MANY)
    async with open_club(settings, projecting=False) as other:
        first, second = await asyncio.gather(
            do(behind, DeleteClient(1), "key"), do(other, DeleteClient(1), "key")
        )
        assert first.body == second.body
        with pytest.raises(NotFound):
            await do(other, DeleteClient(1))
    assert events(database, "training.deleted") == MANY


# --- all or nothing ----------------------------------------------------------------------------


async def test_a_cascade_that_is_killed_did_not_happen_and_can_be_asked_for_again(
    database: str, behind: Club, settings: Settings
) -> None:
    await fill(database, MANY)
    head = await behind.ledger.head()
    async with await psycopg.AsyncConnection.connect(database) as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", CASCADE, database, str(settings.home)), cwd=ROOT, stdout=PIPE
        )
        await until(database, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        process.kill()
        await process.wait()
    assert await behind.ledger.head() == head
    await do(behind, DeleteExercise(1))
    assert events(database, "training.exercise-removed") == MANY


# --- the writer of large entries ---------------------------------------------------------------


async def bulk_outcome(url: str, large: Entry) -> object:
    """What became of it."""
    writer = BulkWriter(Postgres(url).connect, lambda _head, _commands: None)
    task = asyncio.create_task(writer.run())
    (outcome,) = await outcomes([writer.append(large)])
    writer.close()
    await task
    return outcome


WELL = list(range(1, 1501))


@pytest.mark.parametrize(
    ("more", "outcome"),
    [
        pytest.param({}, 1501, id="as it was decided"),
        pytest.param({"expected": {"thing-1": 0}}, StaleDecision, id="a stream moved"),
        pytest.param({"conditions": nobody_joined(5, 0)}, StaleDecision, id="somebody joined"),
        pytest.param({"conditions": nobody_joined(5, 1)}, 1501, id="who joined was seen"),
        pytest.param({"conditions": nobody_joined(6, 0)}, 1501, id="somebody joined another"),
    ],
)
async def test_a_large_entry_is_checked_like_any_other(
    database: str, more: dict[str, Any], outcome: object
) -> None:
    async with writing(database) as writer:
        await writer.append(joined("thing-1", 5))
    assert await bulk_outcome(database, entry("large", *WELL, **more)) == outcome
    assert look(database, "SELECT max(notification_id) FROM ledger_events") == [
        (1 if outcome is StaleDecision else outcome,)
    ]


@pytest.mark.parametrize(
    ("rests_on", "stale"),
    [
        pytest.param({"expected": {"other": 0}}, True, id="a stream moved"),
        pytest.param({"conditions": nobody_joined(5, 0)}, True, id="somebody joined"),
        pytest.param({"conditions": nobody_joined(6, 0)}, False, id="somebody joined another"),
    ],
)
async def test_what_comes_while_a_large_entry_waits_for_the_lock_is_looked_at(
    database: str, rests_on: dict[str, Any], *, stale: bool
) -> None:
    large = entry("large", *WELL, **rests_on)
    async with await psycopg.AsyncConnection.connect(database) as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        waiting = asyncio.create_task(bulk_outcome(database, large))
        await until(database, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        await connection.execute(
            "INSERT INTO ledger_events VALUES ('other', 1, 'thing.joined', %s, 1, now(),"
            " 'user-1', 'do', 'id', 'id', 'id')",
            [b'{"group": 5}'],
        )
    assert await waiting == (StaleDecision if stale else 1501)


async def test_a_large_entry_of_a_key_is_recorded_once(database: str) -> None:
    once = [entry(f"large-{n}", *WELL, receipt=receipt()) for n in range(2)]
    assert await bulk_outcome(database, once[0]) == 1500
    assert await bulk_outcome(database, once[1]) == AlreadyDone
