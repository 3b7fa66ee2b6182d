"""A club in memory: who is in it, and what they ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from application.access import THE_CLUB, Caller
from application.bus import Asked, Bus, Outcome
from application.clients import ClientBody, RegisterClient
from application.command import Command
from application.exercises import AddExercise, ExerciseBody
from application.memberships import AddMembership, MembershipBody
from application.payments import ChangePayment, PaymentBody, RequestPayment
from application.ports import ReceiptKey, Rules, Services, Submission
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
from domain.aggregate import Event
from domain.values import PaymentStatus, Role
from tests.application.fakes import FakeLedger, FakeReadSide, FakeServices, fake_services

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
    ) -> Outcome:
        """Have the command done; raises the refusal."""
        named = None if versions is None else frozenset(versions)
        receipt_key = None if key is None else ReceiptKey(f"rest:{caller.actor}", key)
        return await self.bus.execute(
            command, Asked(caller, correlation_id, versions=named, key=receipt_key)
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

    async def membership(self, price: str = "49.90") -> int:
        return await self.made(AddMembership(MembershipBody(price=price)))

    async def client(self, owner: Caller | None = None, **facts: Any) -> int:
        """A client who is this user, or a new one, on a membership of its own."""
        user_id = (owner or await self.user()).user_id
        membership_id = facts.pop("membership_id", None) or await self.membership()
        return await self.made(
            RegisterClient(client_body(user_id=user_id, membership_id=membership_id, **facts))
        )

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
        """A payment of the client that took these steps, for a membership of its own."""
        membership_id = facts.pop("membership_id", None) or await self.membership()
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


def payment_body(client_id: int, membership_id: int, **facts: Any) -> PaymentBody:
    return PaymentBody(**{"client_id": client_id, "membership_id": membership_id, **facts})


# --- a club whose parts are slow, or behind ------------------------------------------------------


class PausingLedger(FakeLedger):
    """Lets others go on at each call, so that commands can meet."""

    async def append(self, submission: Submission) -> int:
        await asyncio.sleep(0)
        return await super().append(submission)

    async def streams(self, ids: Sequence[str]) -> Mapping[str, Sequence[Event]]:
        await asyncio.sleep(0)
        return await super().streams(ids)


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
