"""One suite for every port: what the real adapter promises, the fake promises too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import UTC, datetime, timedelta

import argon2
import pytest

from application.access import THE_CLUB, Caller
from application.bus import Bus
from application.clients import ChangeClient, ClientBody, RegisterClient
from application.command import Command, Context
from application.exercises import AddExercise, ExerciseBody
from application.memberships import AddMembership, MembershipBody
from application.payments import ChangePayment, PaymentBody, RequestPayment
from application.ports.ledger import (
    AlreadyDone,
    Ledger,
    NothingSince,
    Receipt,
    ReceiptKey,
    Recording,
    StaleDecision,
    Submission,
)
from application.ports.read_side import ReadSide
from application.ports.services import Clock, Services
from application.ports.signing_in import InvalidToken, PasswordHasher
from application.repository import replay
from application.sessions import EndSession, OpenSession, proof_of
from application.training_plans import (
    AddTrainingToPlan,
    DeletePlan,
    DrawUpPlan,
    PinBody,
    PinPlan,
    TrainingInPlanBody,
    TrainingPlanBody,
)
from application.trainings import (
    AddExerciseToTraining,
    DeleteTraining,
    PlanTraining,
    TrainingBody,
    TrainingExerciseBody,
)
from application.users import ChangeUser, DeleteUser, NewUser, RegisterUser, UserChanges
from domain.aggregate import Event, time_text
from domain.clients import MembershipChanged
from domain.memberships import Added, Membership, Repriced
from domain.users import User
from domain.values import PaymentStatus, Role
from infra.bootstrap import Club, open_club
from infra.following import read_side
from infra.secrets import callers
from infra.secrets.clocks import SystemClock
from infra.secrets.passwords import Argon2Hasher
from infra.settings import Settings
from projections.references import REFERENCES
from tests.application.fakes import FakeHasher, FixedClock, fake_services

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)


@asynccontextmanager
async def _real(settings: Settings) -> AsyncIterator[Services]:
    async with open_club(settings) as club:
        yield club.services


@pytest.fixture(params=["in memory", "in Postgres"])
def opening(request: pytest.FixtureRequest) -> AbstractAsyncContextManager[Services]:
    if request.param == "in memory":
        return nullcontext(fake_services())
    return _real(request.getfixturevalue("settings"))


@pytest.fixture
async def services(opening: AbstractAsyncContextManager[Services]) -> AsyncIterator[Services]:
    async with opening as opened:
        yield opened


@pytest.fixture
def ledger(services: Services) -> Ledger:
    return services.ledger


# --- Ledger ------------------------------------------------------------------------------------


def membership(number: int, *prices: str) -> list[Event]:
    """The life of a membership that was repriced now and then."""
    it = Membership.add(number, {"access_level": "VIP", "description": "ü", "price": "1.00"}, AT)
    for price in prices:
        it.change({"price": price}, AT)
    return [event for event in it.collect_events() if isinstance(event, Event)]


def submission(
    *events: Event,
    expected: dict[str, int] | None = None,
    conditions: tuple[NothingSince, ...] = (),
    receipt: Receipt | None = None,
) -> Submission:
    recordings = [Recording(event, "keep-memberships", "command-1") for event in events]
    return Submission(
        "command-1", "user-1", "request-1", recordings, expected or {}, conditions, receipt
    )


def receipt(key: str = "key", source: str = "user-1") -> Receipt:
    return Receipt(ReceiptKey(source, key), b"\x00asked", {"body": {"id": 1}, "version": 1})


async def test_what_was_recorded_is_read_again(ledger: Ledger) -> None:
    one, two = membership(1, "2.00", "3.00"), membership(2)
    await ledger.append(submission(one[0], *two, one[1], expected={"membership-1": 0}))
    await ledger.append(submission(one[2], expected={"membership-1": 2}))
    read = await ledger.streams(["membership-2", "membership-1", "membership-3"])
    assert read == {"membership-1": one, "membership-2": two, "membership-3": []}
    assert [type(event) for event in read["membership-1"]] == [Added, Repriced, Repriced]


async def test_nothing_is_read_of_no_streams(ledger: Ledger) -> None:
    assert await ledger.streams([]) == {}


async def test_the_answer_is_the_position_of_the_last_event(ledger: Ledger) -> None:
    assert await ledger.append(submission(*membership(1, "2.00"))) == 2
    assert await ledger.append(submission(*membership(2))) == 3


async def test_a_decision_on_what_has_changed_leaves_nothing(ledger: Ledger) -> None:
    await ledger.append(submission(*membership(1, "2.00")))
    stale = submission(
        *membership(2), expected={"membership-2": 0, "membership-1": 1}, receipt=receipt()
    )
    with pytest.raises(StaleDecision):
        await ledger.append(stale)
    assert await ledger.streams(["membership-2"]) == {"membership-2": []}
    assert await ledger.receipt(receipt().key) is None


async def test_of_many_decisions_on_one_version_one_is_recorded(ledger: Ledger) -> None:
    every = [submission(*membership(1), expected={"membership-1": 0}) for _ in range(5)]
    answers = await asyncio.gather(*(ledger.append(s) for s in every), return_exceptions=True)
    assert [answer for answer in answers if isinstance(answer, int)] == [1]
    assert [type(a) for a in answers if not isinstance(a, int)] == [StaleDecision] * 4


@pytest.mark.parametrize(
    ("since", "value", "holds"),
    [
        pytest.param(0, 5, False, id="somebody came"),
        pytest.param(1, 5, True, id="somebody had come"),
        pytest.param(0, 6, True, id="somebody came to another"),
    ],
)
async def test_a_decision_on_the_read_tables_holds_while_nobody_came(
    ledger: Ledger, since: int, value: int, *, holds: bool
) -> None:
    came = MembershipChanged("client-1", 1, AT, membership_id=5)  # type: ignore[call-arg]
    await ledger.append(submission(came))
    condition = NothingSince(since, (MembershipChanged.TOPIC,), "membership_id", value)
    decided = submission(*membership(9), conditions=(condition,))
    if holds:
        assert await ledger.append(decided) == 2
    else:
        with pytest.raises(StaleDecision):
            await ledger.append(decided)


async def test_a_receipt_is_read_again(ledger: Ledger) -> None:
    await ledger.append(submission(*membership(1), receipt=receipt()))
    assert await ledger.receipt(receipt().key) == receipt()
    assert await ledger.receipt(receipt(source="user-2").key) is None


async def test_a_receipt_may_stand_alone(ledger: Ledger) -> None:
    await ledger.append(submission(receipt=receipt()))
    assert await ledger.receipt(receipt().key) == receipt()


async def test_a_key_is_good_once_whatever_else_changed(ledger: Ledger) -> None:
    once = submission(*membership(1), expected={"membership-1": 0}, receipt=receipt())
    await ledger.append(once)
    with pytest.raises(AlreadyDone):
        await ledger.append(once)
    another = submission(*membership(2), receipt=receipt(source="user-2"))
    assert await ledger.append(another) == 2


async def test_no_number_is_given_out_twice(ledger: Ledger) -> None:
    assert [await ledger.next_id("client"), await ledger.next_id("user")] == [1, 1]
    numbers = await asyncio.gather(*(ledger.next_id("client") for _ in range(40)))
    assert sorted(numbers) == list(range(2, 42))


# --- ReadSide ----------------------------------------------------------------------------------


class Scene:
    """A club in which something happened, through the commands of everybody."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.now = services.clock.now()
        self._bus = Bus(services)

    async def do(self, *commands: Command) -> int:
        """The position at which it ended."""
        done = [await self._bus.execute(c, Context(THE_CLUB, "scene")) for c in commands]
        assert all(outcome.visible for outcome in done)
        return done[-1].position

    async def sign_in(self, number: int, sessions: int) -> int:
        """The user opens so many sessions; the position at which it ended."""
        stream = f"user-{number}"
        user = replay((await self.services.ledger.streams([stream]))[stream])
        assert isinstance(user, User)
        return await self.do(*[OpenSession(number, None, proof_of(user))] * sessions)


@pytest.fixture
def scene(services: Services) -> Scene:
    return Scene(services)


@pytest.fixture
def tables(services: Services) -> ReadSide:
    return services.read_side


def new_user(name: str) -> RegisterUser:
    body = NewUser(username=name, email=f"{name}@example.com", password="long enough")
    return RegisterUser(body)


def new_client(number: int) -> RegisterClient:
    return RegisterClient(
        ClientBody(
            user_id=number,
            membership_id=number,
            first_name="Ada",
            last_name="Lovelace",
            phone_number="+44 20 7946 0000",
            date_of_birth="1990-12-10",
        )
    )


A_MEMBERSHIP = AddMembership(MembershipBody(price="49.90"))
TWO_CLIENTS = (
    new_user("ada"),
    new_user("bob"),
    A_MEMBERSHIP,
    A_MEMBERSHIP,
    new_client(1),
    new_client(2),
)
TRAININGS_AND_PLANS = (
    AddExercise(ExerciseBody(title="Squat")),
    PlanTraining(TrainingBody(client_id=2, title="Legs")),
    PlanTraining(TrainingBody(client_id=2, title="Arms")),
    AddExerciseToTraining(TrainingExerciseBody(training_id=1, exercise_id=1, order_in_training=1)),
    AddExerciseToTraining(TrainingExerciseBody(training_id=2, exercise_id=1, order_in_training=1)),
    DrawUpPlan(TrainingPlanBody(user_id=1, title="Spring")),
    AddTrainingToPlan(1, TrainingInPlanBody(training_id=2)),
    PinPlan(2, PinBody(training_plan_id=1)),
)


async def test_what_is_recorded_is_soon_shown(
    scene: Scene, tables: ReadSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_side, "LONGEST_WAIT", 0.1)
    position = await scene.do(A_MEMBERSHIP)
    assert await tables.reached(position)
    assert not await tables.reached(position + 1)


REFERRING = [
    ("clients on membership", 2, (2,)),
    ("trainings of client", 1, ()),
    ("trainings of client", 2, (1, 2)),
    ("trainings with exercise", 1, (1, 2)),
    ("plans with training", 1, ()),
    ("plans with training", 2, (1,)),
    ("plans of client", 2, (1,)),
    ("plans of client", 99, ()),
    ("sessions of user", 1, (1, 2)),
    ("sessions of user", 2, ()),
]


@pytest.mark.parametrize(("reference", "number", "referring"), REFERRING)
async def test_who_refers_to_what_is_known_as_of_a_position(
    scene: Scene, tables: ReadSide, reference: str, number: int, referring: tuple[int, ...]
) -> None:
    await scene.do(*TWO_CLIENTS, *TRAININGS_AND_PLANS)
    position = await scene.sign_in(1, sessions=2)
    seen = (await tables.referring(reference, [number]))[number]
    assert seen.numbers == referring
    about = REFERENCES[reference]
    assert seen.condition == NothingSince(position, about.topics, about.field, number)


async def test_who_is_gone_refers_to_nothing(scene: Scene, tables: ReadSide) -> None:
    await scene.do(*TWO_CLIENTS, *TRAININGS_AND_PLANS, DeletePlan(1), DeleteTraining(1))
    await scene.sign_in(1, sessions=3)
    await scene.do(EndSession(2))
    found = [
        (await tables.referring(reference, [number]))[number].numbers
        for reference, number in [
            ("trainings of client", 2),
            ("trainings with exercise", 1),
            ("plans with training", 2),
            ("plans of client", 2),
            ("sessions of user", 1),
        ]
    ]
    assert found == [(2,), (2,), (), (), (1, 3)]


def test_every_reference_is_among_them() -> None:
    assert {reference for reference, *_ in REFERRING} == set(REFERENCES)


async def test_admins_are_those_who_are_not_deleted(scene: Scene, tables: ReadSide) -> None:
    await scene.do(*[new_user(name) for name in ("ada", "bob", "cyd", "dan")])
    changes = UserChanges.model_validate({"role": "ADMIN"})
    made = [ChangeUser(number, changes) for number in (1, 2, 4)]
    await scene.do(*made, DeleteUser(2))
    assert await tables.admins() == [1, 4]


async def test_overdue_are_pending_payments_of_before_oldest_first(
    scene: Scene, tables: ReadSide
) -> None:
    asked = PaymentBody(client_id=1, membership_id=1)
    failed = asked.model_copy(update={"payment_status": PaymentStatus.FAILED})
    await scene.do(*TWO_CLIENTS, *[RequestPayment(asked)] * 3, ChangePayment(2, failed))
    later = scene.services.clock.now() + timedelta(hours=1)
    assert await tables.overdue_payments(later, 10) == [1, 3]
    assert await tables.overdue_payments(later, 1) == [1]
    assert await tables.overdue_payments(scene.now - timedelta(hours=1), 10) == []


async def test_lapsed_are_active_clients_whose_time_has_ended(
    scene: Scene, tables: ReadSide
) -> None:
    await scene.do(*TWO_CLIENTS)
    for client, days_ago in [(1, 40), (2, 50)]:
        paid = PaymentBody(
            client_id=client,
            membership_id=client,
            payment_status=PaymentStatus.PAID,
            timestamp=time_text(scene.now - timedelta(days=days_ago)),
        )
        await scene.do(RequestPayment(paid))
    assert await tables.lapsed_clients(scene.now, 10) == [2, 1]
    assert await tables.lapsed_clients(scene.now, 1) == [2]
    assert await tables.lapsed_clients(scene.now - timedelta(days=15), 10) == [2]
    await scene.do(ChangeClient(2, {"status": "ON_HOLD"}))
    assert await tables.lapsed_clients(scene.now, 10) == [1]


# --- PasswordHasher ----------------------------------------------------------------------------


@pytest.fixture(params=[FakeHasher, Argon2Hasher])
def hasher(request: pytest.FixtureRequest) -> PasswordHasher:
    made: PasswordHasher = request.param()
    return made


async def test_a_hash_hides_the_password_and_its_like(hasher: PasswordHasher) -> None:
    one, two = await hasher.hash("open sesame"), await hasher.hash("open sesame")
    assert one != two
    assert "open sesame" not in one + two
    assert one.startswith("$argon2id$")
    assert len(one) <= 255


async def test_a_password_is_told_from_every_other(hasher: PasswordHasher) -> None:
    kept = await hasher.hash("pässword")
    assert await hasher.verify("pässword", kept)
    for other in ("password", "Pässword", "pässword ", "", kept):
        assert not await hasher.verify(other, kept)
        assert not await hasher.verify(other, None)


async def test_the_real_hash_is_of_its_password_only() -> None:
    kept = await Argon2Hasher().hash("pässword")
    assert argon2.PasswordHasher().verify(kept, "pässword")
    with pytest.raises(argon2.exceptions.VerifyMismatchError):
        argon2.PasswordHasher().verify(kept, "password")


# --- Clock -------------------------------------------------------------------------------------


@pytest.fixture(params=[FixedClock, SystemClock])
def clock(request: pytest.FixtureRequest) -> Clock:
    made: Clock = request.param()
    return made


def test_the_time_is_utc_and_does_not_run_backwards(clock: Clock) -> None:
    before, after = clock.now(), clock.now()
    assert before.tzinfo is UTC
    assert before <= after


# --- Callers (nothing but the real one: the application never asks it) ---------------------------


async def do(club: Club, command: Command) -> None:
    await club.bus.execute(command, Context(THE_CLUB, "scene"))


@pytest.fixture
async def ada(club: Club, monkeypatch: pytest.MonkeyPatch) -> str:
    """The token of user 1."""
    monkeypatch.setattr(callers, "FRESH", 0)
    await do(club, new_user("ada"))
    return club.tokens.access_token(1, None, 600)


async def test_a_token_stands_for_its_user_with_the_role_of_now(club: Club, ada: str) -> None:
    assert await club.callers.of(ada) == Caller.user(1, Role.USER)
    await do(club, ChangeUser(1, UserChanges.model_validate({"role": "TRAINER"})))
    assert await club.callers.of(ada) == Caller.user(1, Role.TRAINER)


async def test_the_token_of_a_user_who_left_is_not_valid(club: Club, ada: str) -> None:
    await do(club, DeleteUser(1))
    with pytest.raises(InvalidToken):
        await club.callers.of(ada)


async def test_a_token_for_nobody_or_made_up_is_not_valid(club: Club) -> None:
    for token in (club.tokens.access_token(99, None, 600), "made up", ""):
        with pytest.raises(InvalidToken):
            await club.callers.of(token)


async def session_of_ada(club: Club) -> tuple[int, str]:
    """A session of user 1, and an access token of it."""
    await Scene(club.services).sign_in(1, sessions=1)
    ((number,),) = await club.postgres.rows("SELECT max(id) FROM sessions", [])
    return number, club.tokens.access_token(1, number, 600)


async def test_a_token_of_a_session_stands_for_its_user_until_it_ends(club: Club, ada: str) -> None:
    (one, token), (other, its) = [await session_of_ada(club) for _ in range(2)]
    assert await club.callers.of(token) == Caller.user(1, Role.USER, one)
    await do(club, EndSession(one))
    with pytest.raises(InvalidToken):
        await club.callers.of(token)
    assert await club.callers.of(its) == Caller.user(1, Role.USER, other)
    assert await club.callers.of(ada) == Caller.user(1, Role.USER)


@pytest.mark.parametrize(
    "command",
    [
        DeleteUser(1),
        ChangeUser(1, UserChanges.model_validate({"password": "another one"})),
    ],
    ids=lambda command: command.NAME,
)
async def test_what_ends_all_sessions_ends_their_tokens(
    club: Club, ada: str, command: Command
) -> None:
    tokens = [(await session_of_ada(club))[1] for _ in range(2)]
    for token in tokens:
        await club.callers.of(token)
    await do(club, command)
    for token in tokens:
        with pytest.raises(InvalidToken):
            await club.callers.of(token)
