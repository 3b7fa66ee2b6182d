"""A small club for the tests of its routes: one of everything, and who may ask about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from application.clients import ClientBody, RegisterClient
from application.exercises import AddExercise, ExerciseBody
from application.memberships import AddMembership, MembershipBody
from application.payments import PaymentBody, RequestPayment
from application.reports import DrawUpReport, ReportBody
from application.repository import replay
from application.sessions import OpenSession, proof_of
from application.training_plans import (
    AddTrainingToPlan,
    DrawUpPlan,
    PinBody,
    PinPlan,
    TrainingInPlanBody,
    TrainingPlanBody,
)
from application.trainings import PlanTraining, TrainingWithExercises
from application.walk_ins import RegisterWalkIn, WalkInBody
from domain.users import User
from domain.values import Role
from tests.conftest import Rest

Headers = dict[str, str]


@dataclass
class Scene:
    """The numbers of one of everything; the client, and all that is its, belong to `user`."""

    user: int
    owner: Headers
    admin_id: int
    admin: Headers
    membership: int
    client: int
    exercise: int
    training: int
    plan: int
    payment: int
    report: int


def also(signed_in: Headers, name: str, value: bytes) -> dict[bytes, bytes]:
    """The headers, and one more that no text is good enough for."""
    return {k.encode(): v.encode() for k, v in signed_in.items()} | {name.encode(): value}


async def made(rest: Rest, command: Any) -> int:
    """The number of what the command makes."""
    outcome = await rest.do(command)
    assert outcome.body is not None
    number: int = outcome.body["id"]
    return number


def client_body(user: int, membership: int, **facts: Any) -> dict[str, Any]:
    """The least that makes a client."""
    return {
        "user_id": user,
        "membership_id": membership,
        "first_name": "Ada",
        "last_name": "Lovelace",
        "phone_number": "+44 20 7946 0000",
        "date_of_birth": "1990-12-10",
        **facts,
    }


def walk_in_body(membership: int, **facts: Any) -> dict[str, Any]:
    """The least that takes in somebody who walks in."""
    return {
        "first_name": "Ada",
        "last_name": "Lovelace",
        "phone_number": "+44 20 7946 0000",
        "date_of_birth": "1990-12-10",
        "email": "ada@example.com",
        "membership_id": membership,
        **facts,
    }


async def new_membership(rest: Rest, price: str = "49.90") -> int:
    return await made(rest, AddMembership(MembershipBody(price=price)))


async def new_exercise(rest: Rest, title: str) -> int:
    return await made(rest, AddExercise(ExerciseBody(title=title)))


async def new_client(rest: Rest, user: int, **facts: Any) -> int:
    membership = await new_membership(rest)
    body = ClientBody.model_validate(client_body(user, membership, **facts))
    return await made(rest, RegisterClient(body))


async def new_walk_in(rest: Rest, membership: int, **facts: Any) -> tuple[int, dict[str, Any]]:
    """The number of a user who was taken in, and what they were told."""
    body = WalkInBody.model_validate(walk_in_body(membership, **facts))
    shown = (await rest.do(RegisterWalkIn(body))).shown
    assert shown is not None
    return shown["user"]["id"], shown["first_sign_in"]


async def new_training(rest: Rest, client: int, *exercises: int, title: str = "Legs") -> int:
    body = TrainingWithExercises(client_id=client, title=title, exercise_ids=list(exercises))
    return await made(rest, PlanTraining(body))


async def new_plan(rest: Rest, user: int, title: str = "Spring") -> int:
    return await made(rest, DrawUpPlan(TrainingPlanBody(user_id=user, title=title)))


async def new_payment(rest: Rest, client: int, membership: int) -> int:
    body = PaymentBody(client_id=client, membership_id=membership)
    return await made(rest, RequestPayment(body))


async def new_session(rest: Rest, user_id: int, telegram_id: int | None = None) -> int:
    """A session of the user, as if they had signed in with a code from this Telegram account."""
    stream = User.stream(user_id)
    user = replay((await rest.club.ledger.streams([stream]))[stream])
    assert isinstance(user, User)
    return await made(rest, OpenSession(user_id, telegram_id, proof_of(user)))


async def furnished(rest: Rest) -> Scene:
    """A club with one of everything."""
    user, owner = await rest.user()
    admin_id, admin = await rest.user(Role.ADMIN)
    membership = await new_membership(rest)
    client_facts = ClientBody.model_validate(client_body(user, membership))
    client = await made(rest, RegisterClient(client_facts))
    exercise = await new_exercise(rest, "Squat")
    training = await new_training(rest, client, exercise)
    plan = await new_plan(rest, user)
    await rest.do(AddTrainingToPlan(plan, TrainingInPlanBody(training_id=training)))
    await rest.do(PinPlan(client, PinBody(training_plan_id=plan)))
    payment = await new_payment(rest, client, membership)
    report = await made(rest, DrawUpReport(ReportBody()))
    return Scene(
        user=user,
        owner=owner,
        admin_id=admin_id,
        admin=admin,
        membership=membership,
        client=client,
        exercise=exercise,
        training=training,
        plan=plan,
        payment=payment,
        report=report,
    )
