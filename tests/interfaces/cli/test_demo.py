"""`club demo`: believable people, the same for the same seed."""

from __future__ import annotations

from itertools import islice
from typing import Any

import argon2
import orjson
import pytest

from application.access import Caller
from application.clients import ChangeClient
from application.ports.queries import PageRequest, View
from application.users import DeleteUser
from domain.values import PaymentStatus, Role
from infra.bootstrap import Club, open_club
from infra.settings import Settings
from interfaces.cli.demo import fill
from interfaces.cli.invention import Person, people
from tests.conftest import Rest
from tests.interfaces.cli.conftest import CommandLine

# What the tables show of the people, without the numbers, which depend on who came first.
FACTS = (
    "SELECT username, email, role::text FROM users",
    """
    SELECT u.username, first_name, last_name, phone_number, gender::text, date_of_birth,
           weight_kg, height_sm, status::text, access_level::text, price
    FROM clients AS c JOIN users AS u ON u.id = c.user_id
    JOIN memberships AS m ON m.id = c.membership_id
    """,
    """
    SELECT u.username, payment_status::text, date_trunc('day', u.created_at - p.timestamp)
    FROM payments AS p JOIN clients AS c ON c.id = p.client_id JOIN users AS u ON u.id = c.user_id
    """,
    """
    SELECT u.username, t.title, t.training_type::text, t.intensity::text, t.duration_min,
           t.date - (u.created_at AT TIME ZONE 'UTC')::date,
           e.title, x.order_in_training, x.sets, x.extra_weight
    FROM trainings AS t JOIN clients AS c ON c.id = t.client_id JOIN users AS u ON u.id = c.user_id
    LEFT JOIN trainings_exercises AS x ON x.training_id = t.id
    LEFT JOIN exercises AS e ON e.id = x.exercise_id
    """,
    """
    SELECT u.username, p.title, p.status::text, count(DISTINCT f.client_id),
           count(DISTINCT t.training_id)
    FROM training_plans AS p JOIN users AS u ON u.id = p.user_id
    LEFT JOIN clients_training_plan AS f ON f.training_plan_id = p.id
    LEFT JOIN training_plan_trainings AS t ON t.training_plan_id = p.id GROUP BY p.id, u.id
    """,
)


async def facts(club: Club) -> list[list[tuple[Any, ...]]]:
    await club.read_side.reached(await club.ledger.head())
    return [sorted(await club.postgres.rows(sql), key=repr) for sql in FACTS]


async def test_a_seed_makes_the_same_people_and_facts_again(
    club: Club, settings: Settings, empty_database: str
) -> None:
    await fill(club, 30, 5)
    other_settings = settings.model_copy(update={"database_url": empty_database})
    async with open_club(other_settings, building=True) as other:
        await fill(other, 30, 5)
        assert await facts(other) == await facts(club)


def test_a_person_does_not_depend_on_how_many_there_are() -> None:
    assert list(islice(people(3), 5)) == list(islice(people(3), 50))[:5]
    assert next(people(3)) != next(people(4))


async def test_a_second_filling_adds_nothing_and_a_larger_one_the_rest(club: Club) -> None:
    first = await fill(club, 20, 1)
    # Two of twenty walk in, each on a membership of their own at the terms of what is on offer.
    assert (first["user"], first["client"], first["walk-in"]) == (21, 18, 2)
    assert first["membership"] == 18 + 1, "both walk in at the same terms"
    before, head = await facts(club), await club.ledger.head()
    assert not await fill(club, 20, 1)
    assert await club.ledger.head() == head
    assert await facts(club) == before
    more = await fill(club, 25, 1)
    assert (more["client"], more["walk-in"]) == (4, 1)
    assert (await fill(club, 5, 2))["user"] == 8


async def test_receipts_may_be_forgotten_between_fillings(club: Club) -> None:
    await fill(club, 10, 1)
    before = await facts(club)
    await club.postgres.rows("DELETE FROM ledger_receipts")
    again = await fill(club, 10, 1)
    assert again.keys() <= {"report"}
    assert await facts(club) == before


async def test_what_was_changed_since_stays_as_it_is(rest: Rest) -> None:
    await fill(rest.club, 10, 1)
    await rest.do(ChangeClient(1, {"last_name": "Changed"}))
    await rest.do(DeleteUser(5))
    before = await facts(rest.club)
    assert not await fill(rest.club, 10, 1)
    assert await facts(rest.club) == before


async def test_a_filling_that_was_broken_off_is_completed(
    club: Club, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def pull_the_plug(*_: object) -> None:
        raise RuntimeError("the plug was pulled")

    with monkeypatch.context() as patched:
        patched.setattr("interfaces.cli.demo._Filling._plan", pull_the_plug)
        with pytest.raises(RuntimeError, match="plug"):
            await fill(club, 10, 1)
    await fill(club, 10, 1)
    planned = [person for person in islice(people(1), 10) if person.plan]
    assert await club.postgres.rows("SELECT count(*) FROM training_plans") == [(len(planned),)]
    assert await club.postgres.rows("SELECT count(*) FROM clients") == [(10,)]


@pytest.mark.usefixtures("costly_hashes")
async def test_nobody_signs_in_as_one_of_them(club: Club) -> None:
    await fill(club, 8, 1)
    rows = await club.postgres.rows("SELECT username, password_hash FROM users")
    hashes = {password_hash for _, password_hash in rows}
    (of_a_secret,) = hashes - {""}
    assert of_a_secret.startswith("$argon2id$")
    hasher = argon2.PasswordHasher()
    assert not hasher.check_needs_rehash(of_a_secret)
    for guess in ("", "password", "demo", "demo1", *(username for username, _ in rows)):
        with pytest.raises(argon2.exceptions.VerifyMismatchError):
            hasher.verify(of_a_secret, guess)


async def test_a_real_user_is_hashed_as_ever_while_the_demo_is_there(rest: Rest) -> None:
    await fill(rest.club, 2, 1)
    body = {"username": "real", "email": "real@example.com", "password": "long enough"}
    assert (await rest.http.post("/users/", json=body)).status_code == 201
    ((real,),) = await rest.club.postgres.rows(
        "SELECT password_hash FROM users WHERE username = 'real'"
    )
    assert argon2.PasswordHasher().verify(real, "long enough")


async def test_there_is_something_in_every_list_of_the_day(club: Club) -> None:
    await fill(club, 80, 1)
    await club.read_side.reached(await club.ledger.head())
    for view in (View.GRANTS, View.SECOND_COLLECTIONS, View.OFFERS):
        assert await club.reads.total(view, PageRequest()), view
    paused = await club.postgres.rows(
        "SELECT client_id FROM client_admissions WHERE kept_seconds > 0"
    )
    assert paused


async def test_each_thing_is_on_offer_once_however_many_walk_in(club: Club) -> None:
    added = await fill(club, 80, 1)
    await club.read_side.reached(await club.ledger.head())
    page = await club.reads.page(View.OFFERS, PageRequest(limit=500))
    terms = [(offer["access_level"], offer["price"]) for offer in orjson.loads(page.body)]
    assert added["walk-in"] > len(terms)
    assert len(terms) == len(set(terms))


async def test_the_staff_does_its_own_work(club: Club) -> None:
    await fill(club, 10, 1)
    staff = dict(await club.postgres.rows("SELECT role::text, id FROM users WHERE role <> 'USER'"))
    assert set(staff) == {"TRAINER", "STAFFER", "ANALYST"}
    actors = await club.postgres.rows("SELECT DISTINCT command, actor FROM ledger_events")
    by_command = {command: actor for command, actor in actors if actor != "club"}
    assert by_command["plan-training"] == Caller.user(staff["TRAINER"], Role.TRAINER).actor
    assert by_command["request-payment"] == f"user-{staff['STAFFER']}"
    assert by_command["draw-up-report"] == f"user-{staff['ANALYST']}"
    assert by_command["register-user"] == "anybody"


def test_people_are_believable() -> None:
    invented = list(islice(people(1), 1000))
    assert len({person.username for person in invented}) == 1000
    assert len({(person.first_name, person.last_name) for person in invented}) > 500
    assert {paid.status for person in invented for paid in person.payments} == set(PaymentStatus)
    assert all(_plausible(person) for person in invented)
    assert any(person.granted for person in invented)
    assert any(paid.twice for person in invented for paid in person.payments)


def _plausible(person: Person) -> bool:
    index = 22.0
    if person.weight_kg and person.height_sm:
        index = float(person.weight_kg) / (float(person.height_sm) / 100) ** 2
    born = int(person.date_of_birth[:4])
    return (
        17 < index < 41
        and 1945 < born < 2011
        and person.username.startswith("demo1.")
        and person.email.endswith("@example.com")
        and person.phone_number.startswith("+44 ")
    )


def test_the_command_says_what_it_did_and_what_to_try_next(command_line: CommandLine) -> None:
    first = command_line.run("demo", "--clients", "3", "--seed", "9")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("Added 6 users, 22 exercises, 3 memberships, 3 clients, ")
    assert "club tokens issue demo9.trainer" in first.stdout
    again = command_line.run("demo", "--clients", "3", "--seed", "9")
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("Nothing added: all of it is there.\n")
    issued = command_line.run("tokens", "issue", "demo9.trainer")
    assert issued.stdout.count(".") == 2
    assert command_line.run("demo", "--clients", "-1").returncode == 2
