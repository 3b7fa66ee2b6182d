"""Numbers that are free, whatever became of the sequences: after a restore, or by hand."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import cast

import psycopg
import pytest

from application.access import THE_CLUB
from application.command import Command, Context
from application.exercises import AddExercise, ExerciseBody
from application.sessions import NoteFailedSignIn
from application.users import NewUser, RegisterUser
from domain.aggregate import Event
from domain.sign_ins import Failure
from infra.bootstrap import Club, open_club
from infra.ledger.numbers import put_right
from infra.ledger.postgres import Postgres
from infra.ledger.schema import SEQUENCES
from infra.settings import Settings
from tests.benchmarks.seeding import membership
from tests.infra.ledger.scenes import look
from tests.projections.histories import record

AT = datetime(2026, 1, 31, 9, tzinfo=UTC)


def user(name: str) -> RegisterUser:
    return RegisterUser(NewUser(username=name, email=f"{name}@example.com", password="long enough"))


async def made(club: Club, command: Command) -> int:
    outcome = await club.bus.execute(command, Context(THE_CLUB, "scene", visible=False))
    assert outcome.body is not None
    return int(outcome.body["id"])


async def right(url: str) -> None:
    async with await Postgres(url).connect(autocommit=True) as connection:
        await put_right(connection)


def last(url: str, kind: str) -> int | None:
    return cast(
        "int | None",
        look(url, "SELECT pg_sequence_last_value(%s::regclass)", SEQUENCES[kind])[0][0],
    )


@pytest.mark.parametrize("numbers", [[9, 10], [10, 9], [99, 100, 8], [2000, 1999, 3], [2147483646]])
async def test_the_highest_number_is_found_whatever_it_looks_like_as_text(
    database: str, numbers: list[int]
) -> None:
    events = [e for n in numbers for e in membership(n, AT).collect_events()]
    await record(database, cast("list[Event]", events))
    await right(database)
    assert last(database, "membership") == max(numbers)


async def test_a_kind_is_not_taken_for_another_that_begins_with_its_name(database: str) -> None:
    look(
        database,
        "INSERT INTO ledger_events SELECT id, 1, 't', '{}', n, now(), 'a', 'c', 'i', 'i', 'i' FROM "
        "unnest(ARRAY['training-plan-77', 'training-5', 'reservation-user-3']) "
        "WITH ORDINALITY AS t (id, n)",
    )
    await right(database)
    found = {kind: last(database, kind) for kind in SEQUENCES}
    assert {kind: n for kind, n in found.items() if n} == {"training": 5, "training-plan": 77}


async def test_a_sequence_that_is_ahead_stays_where_it_is(database: str) -> None:
    events = membership(5, AT).collect_events()
    await record(database, cast("list[Event]", events))
    look(database, "SELECT setval('memberships_id_seq', 90)")
    await right(database)
    assert last(database, "membership") == 90


async def test_two_who_start_at_once_move_no_sequence_back(database: str) -> None:
    events = membership(2000, AT).collect_events()
    await record(database, cast("list[Event]", events))
    given: list[int] = []

    async def take() -> None:
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
            for _ in range(300):
                cursor = await connection.execute("SELECT nextval('memberships_id_seq')")
                given.append((await cursor.fetchone() or (0,))[0])

    await asyncio.gather(take(), take(), *(right(database) for _ in range(5)))
    assert len(set(given)) == len(given), "no number is given out twice"
    assert max(given) > 2000


@pytest.mark.parametrize("kind", SEQUENCES)
async def test_every_process_that_opens_the_club_finds_its_sequences_right(
    database: str, settings: Settings, kind: str
) -> None:
    look(
        database,
        "INSERT INTO ledger_events VALUES (%s, 1, 't', '{}', 1, now(), 'a', 'c', 'i', 'i', 'i')",
        f"{kind}-2000",
    )
    async with open_club(settings, projecting=False) as club:
        assert await club.ledger.next_id(kind) == 2001


async def test_a_sequence_that_is_reset_under_a_running_club_is_put_right(
    database: str, club: Club, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    real = club.services.passwords.hash

    async def counted(password: str) -> str:
        hashed.append(password)
        return await real(password)

    for n in range(40):
        await made(club, AddExercise(ExerciseBody(title=f"Squat {n}")))
    for n in range(3):
        await made(club, user(f"ada{n}"))
    club.ledger._numbers["user"].clear()
    club.ledger._numbers["exercise"].clear()
    look(database, "SELECT setval('users_id_seq', 1), setval('exercises_id_seq', 1)")
    monkeypatch.setattr(club.services.passwords, "hash", counted)

    assert await made(club, user("bob")) > 3
    assert hashed == ["long enough"], "once, however often it is decided"
    together = [AddExercise(ExerciseBody(title=f"Lunge {n}")) for n in range(50)]
    numbers = await asyncio.gather(*(made(club, command) for command in together))
    assert len(set(numbers)) == 50
    assert min(numbers) > 40


async def test_what_leaves_no_answer_is_recorded_too(database: str, club: Club) -> None:
    failed = NoteFailedSignIn(None, Failure.UNKNOWN_USER)
    for _ in range(5):
        await club.bus.execute(failed, Context(THE_CLUB, "scene", visible=False))
    club.ledger._numbers["sign-in"].clear()
    look(database, "SELECT setval('sign_ins_id_seq', 1)")
    await club.bus.execute(failed, Context(THE_CLUB, "scene", visible=False))
    assert look(
        database, "SELECT count(*) FROM ledger_events WHERE originator_id LIKE 'sign-in-%%'"
    ) == [(6,)]
