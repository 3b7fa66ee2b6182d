"""A club in memory: who is in it, and what they ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from application.access import THE_CLUB, THIS_MACHINE, Caller, Origin
from application.bus import Bus, Outcome
from application.clients import ClientBody, RegisterClient
from application.command import Command, Context
from application.exercises import AddExercise, ExerciseBody
from application.memberships import AddMembership, MembershipBody
from application.payments import ChangePayment, PaymentBody, RequestPayment
from application.ports.ledger import LedgerUnavailable, ReceiptKey, Submission
from application.ports.services import Bounds, Rules, Services
from application.ports.signing_in import CodeChannel, Tokens
from application.repository import replay
from application.sessions import OpenSession, proof_of
from application.sign_in import SignedIn, SignIn, Visit
from application.training_plans import (
    AddTrainingToPlan,
    DrawUpPlan,
    PinBody,
    PinPlan,
    TrainingInPlanBody,
    TrainingPlanBody,
)
from application.trainings import PlanTraining, TrainingWithExercises
from application.users import NewUser, RegisterUser, UserChanges
from application.walk_ins import RegisterWalkIn, WalkInBody
from domain.aggregate import Event
from domain.sign_ins import Failed
from domain.users import User
from domain.values import PaymentStatus, Role
from infra.short_lived import InProcessStore, Marks
from tests.application.fakes import (
    FakeLedger,
    FakeReadSide,
    FakeServices,
    FakeTelegram,
    FixedClock,
    WatchedStore,
    fake_services,
)

PERSON = {
    "first_name": "Ada",
    "last_name": "Lovelace",
    "phone_number": "+44 20 7946 0000",
    "date_of_birth": "1990-12-10",
}


class Scene:
    """A club in memory, and its bus; nothing has happened yet."""

    def __init__(self, rules: Rules | None = None, services: FakeServices | None = None) -> None:
        self.services = services or fake_services(rules)
        self.bus = Bus(self.services)
        self._names = 0

    @property
    def ledger(self) -> FakeLedger:
        return self.services.ledger

    async def do(
        self,
        command: Command,
        caller: Caller = THE_CLUB,
        *,
        versions: set[int] | None = None,
        key: str | None = None,
        correlation_id: str = "scene",
        origin: Origin = THIS_MACHINE,
    ) -> Outcome:
        """Have the command done; raises the refusal."""
        named = None if versions is None else frozenset(versions)
        receipt_key = None if key is None else ReceiptKey(f"rest:{caller.actor}", key)
        return await self.bus.execute(
            command,
            Context(caller, correlation_id, versions=named, key=receipt_key, origin=origin),
        )

    async def body(self, command: Command, caller: Caller = THE_CLUB) -> Mapping[str, Any]:
        """What the caller is shown once it is done."""
        outcome = await self.do(command, caller)
        assert outcome.body is not None
        return outcome.body

    async def made(self, command: Command, caller: Caller = THE_CLUB) -> int:
        """The number of the new thing."""
        return int((await self.body(command, caller))["id"])

    # --- people and things -----------------------------------------------------------------

    async def user(self, role: Role = Role.USER, **facts: Any) -> Caller:
        """A new user, as a caller."""
        self._names += 1
        name = f"user{self._names}"
        number = await self.made(RegisterUser(new_user(name, role=role, **facts)))
        return Caller.user(number, role)

    async def session(self, owner: Caller, telegram_id: int | None = None) -> int:
        """A session of the user, with a code that went to this Telegram account."""
        user_id = owner.user_id or 0
        return await self.made(OpenSession(user_id, telegram_id, self.proof(user_id)))

    def proof(self, user_id: int) -> str:
        """What a login of the user rests on now."""
        stream = User.stream(user_id)
        user = replay(e for e in self.ledger.events if e.originator_id == stream)
        assert isinstance(user, User)
        return proof_of(user)

    async def membership(self, price: str = "49.90") -> int:
        return await self.made(AddMembership(MembershipBody(price=price)))

    async def client(self, owner: Caller | None = None, **facts: Any) -> int:
        """A client who is this user, or a new one, on a membership of its own."""
        user_id = (owner or await self.user()).user_id
        membership_id = facts.pop("membership_id", None) or await self.membership()
        return await self.made(
            RegisterClient(client_body(user_id=user_id, membership_id=membership_id, **facts))
        )

    async def walk_in(self, **facts: Any) -> int:
        """Somebody who was taken in at the front desk, as a user."""
        facts.setdefault("membership_id", await self.membership())
        return int((await self.body(RegisterWalkIn(walk_in_body(**facts))))["user"]["id"])

    async def exercise(self, title: str = "Squat") -> int:
        return await self.made(AddExercise(ExerciseBody(title=title)))

    async def training(self, client_id: int, *exercise_ids: int) -> int:
        body = TrainingWithExercises(
            client_id=client_id, title="Legs", exercise_ids=list(exercise_ids)
        )
        return await self.made(PlanTraining(body))

    async def plan(self, owner: Caller, *training_ids: int, clients: Sequence[int] = ()) -> int:
        assert owner.user_id is not None
        number = await self.made(
            DrawUpPlan(TrainingPlanBody(user_id=owner.user_id, title="Spring"))
        )
        for training_id in training_ids:
            await self.do(AddTrainingToPlan(number, TrainingInPlanBody(training_id=training_id)))
        for client_id in clients:
            await self.do(PinPlan(client_id, PinBody(training_plan_id=number)))
        return number

    async def payment(self, client_id: int, *steps: PaymentStatus, **facts: Any) -> int:
        """A payment of the client that took these steps, for the membership that it holds."""
        membership_id = self.row("clients", client_id)["membership_id"]
        body = PaymentBody(client_id=client_id, membership_id=membership_id)
        number = await self.made(RequestPayment(body))
        for status in steps:
            step = body.model_copy(update={"payment_status": status, **facts})
            await self.do(ChangePayment(number, step))
        return number

    # --- what became of it -----------------------------------------------------------------

    def rows(self, table: str) -> list[dict[str, Any]]:
        return self.services.read_side.rows(table)

    def row(self, table: str, number: int) -> dict[str, Any]:
        (found,) = [row for row in self.rows(table) if row["id"] == number]
        return found

    def status(self, client_id: int) -> str:
        """Where the client stands."""
        return str(self.row("clients", client_id)["status"])

    def until(self, client_id: int) -> str | None:
        """Until when the client is let in."""
        rows = [r for r in self.rows("client_admissions") if r["client_id"] == client_id]
        return rows[0]["until"] if rows else None

    def since(self, position: int) -> list[tuple[str, str]]:
        """What happened after a position: whom, and what."""
        return [told(event) for event in self.ledger.events[position:]]

    @property
    def head(self) -> int:
        return len(self.ledger.log)


def told(event: Event) -> tuple[str, str]:
    """Whom an event happened to, and what it was."""
    return event.originator_id, event.TOPIC


def new_user(username: str, **facts: Any) -> NewUser:
    given = {"username": username, "email": f"{username}@example.com", "password": "long enough"}
    return NewUser(**{**given, **facts})


def user_changes(**facts: Any) -> UserChanges:
    return UserChanges.model_validate(facts)


def client_body(**facts: Any) -> ClientBody:
    return ClientBody(**{**PERSON, **facts})


def walk_in_body(**facts: Any) -> WalkInBody:
    return WalkInBody(**{**PERSON, "email": "ada@example.com", **facts})


def payment_body(client_id: int, membership_id: int, **facts: Any) -> PaymentBody:
    return PaymentBody(**{"client_id": client_id, "membership_id": membership_id, **facts})


# --- a club whose parts are slow, or behind ------------------------------------------------------


class PausingLedger(FakeLedger):
    """Lets others go on at each call, so that commands can meet; it may be lost."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.lost = False

    async def append(self, submission: Submission) -> int:
        await self._called("append")
        return await super().append(submission)

    async def streams(self, ids: Sequence[str]) -> Mapping[str, Sequence[Event]]:
        await self._called("streams")
        return await super().streams(ids)

    async def _called(self, name: str) -> None:
        await asyncio.sleep(0)
        if self.lost:
            raise LedgerUnavailable
        self.asked.append(name)


def pausing_scene(rules: Rules | None = None) -> Scene:
    """A club in which commands that are asked for together run beside each other."""
    ledger = PausingLedger()
    services = replace(fake_services(rules), ledger=ledger, read_side=FakeReadSide(ledger))
    return Scene(services=services)


def tables_stop_following(scene: Scene) -> Bus:
    """A bus of the same club, whose read tables show nothing that happens from here on."""
    seen = FakeLedger()
    seen.log = list(scene.ledger.log)
    services: Services = replace(scene.services, read_side=FakeReadSide(seen))
    return Bus(services)


# --- the way in ----------------------------------------------------------------------------------

HOME = Origin("192.0.2.7", "curl/8.9")
PASSWORD = "long enough"
ADAS_PHONE = 5_000_000_007
"""A Telegram account."""


def visit(address: str = HOME.address) -> Visit:
    """Somebody wants to sign in from this address."""
    return Visit("a visit", HOME._replace(address=address))


class Door(Scene):
    """The way into a club in memory, for the users `user1`, `user2` and so on.

    It is about now, as the tokens have no other clock; the store's time is the club's.
    """

    def __init__(self, tokens: Tokens, bounds: Bounds | None = None) -> None:
        self.book = PausingLedger()
        self.clock = FixedClock(datetime.now(UTC))
        super().__init__(
            services=replace(
                fake_services(),
                bounds=bounds or Bounds(),
                ledger=self.book,
                read_side=FakeReadSide(self.book),
                clock=self.clock,
            )
        )
        self.tokens = tokens
        self.telegram = FakeTelegram()
        self.store = WatchedStore(InProcessStore(self.clock.seconds))
        self.sign_in = self.through(CodeChannel(link=self.telegram.link))

    def through(self, channel: CodeChannel) -> SignIn:
        """The way in, with codes over this channel."""
        marks = Marks(self.store)
        return SignIn(self.bus, self.services, self.store, channel, self.tokens, marks)

    async def begin(self, username: str = "user1", password: str = PASSWORD) -> tuple[str, str]:
        """The token of a new login, and the payload of its link."""
        begun = await self.sign_in.log_in(username, password, visit())
        assert begun.link is not None
        return begun.login_token, begun.link.removeprefix(FakeTelegram.PREFIX)

    async def code(self, payload: str, telegram_id: int = ADAS_PHONE) -> str:
        """The code for whoever opens the link."""
        return (await self.sign_in.open_link(payload, telegram_id, visit("telegram")))[1]

    async def verify(self, login_token: str, code: str) -> SignedIn:
        return await self.sign_in.verify(login_token, code, visit())

    async def enter(
        self, username: str = "user1", telegram_id: int = ADAS_PHONE, password: str = PASSWORD
    ) -> SignedIn:
        """Sign in, from the password to the session."""
        login_token, payload = await self.begin(username, password)
        return await self.verify(login_token, await self.code(payload, telegram_id))

    def let_pass(self, **time: float) -> None:
        """Be so much later."""
        self.clock.let_pass(timedelta(**time))

    def told_since(self, position: int) -> list[tuple[str, str]]:
        """What was recorded, but for the names of who failed: whom, and what or why."""
        return [
            (event.originator_id, event.why if isinstance(event, Failed) else event.TOPIC)
            for event in self.ledger.events[position:]
        ]

    def failures(self) -> list[tuple[int | None, str]]:
        """Every attempt that failed: whose, and why."""
        return [(e.user_id, e.why) for e in self.ledger.events if isinstance(e, Failed)]

    def session_rows(self) -> list[tuple[int, str | None]]:
        """Every session there ever was, and why it ended."""
        return [(row["id"], row.get("ended_because")) for row in self.rows("sessions")]
