"""The stock `eventsourcing` library, with nothing of ours but the domain, opens the log."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from eventsourcing.application import Application
from psycopg.conninfo import conninfo_to_dict

from application.access import THE_CLUB
from application.clients import ClientBody, RegisterClient
from application.command import Command, Context
from application.exercises import AddExercise, ChangeExercise, ExerciseBody
from application.memberships import AddMembership, ChangeMembership, MembershipBody
from application.payments import ChangePayment, PaymentBody, RequestPayment
from application.reports import DrawUpReport, ReportBody
from application.repository import replay
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
    ChangeTraining,
    PlanTraining,
    TrainingBody,
    TrainingExerciseBody,
)
from application.users import ChangeUser, DeleteUser, NewUser, RegisterUser, UserChanges
from domain.aggregate import Aggregate
from domain.values import PaymentStatus
from infra.bootstrap import Club
from tests.infra.ledger.scenes import look

A_LIFE_IN_THE_CLUB: list[Command] = [
    RegisterUser(NewUser(username="ada", email="ada@example.com", password="long enough")),
    RegisterUser(NewUser(username="bob", email="bob@example.com", password="long enough")),
    ChangeUser(2, UserChanges.model_validate({"username": "robert"})),
    AddMembership(MembershipBody(price="49.90", description="für alle 🏋")),
    ChangeMembership(1, {"price": "59.90"}),
    RegisterClient(
        ClientBody(
            user_id=1,
            membership_id=1,
            first_name="Ada",
            last_name="Lovelace",
            phone_number="+44 20 7946 0000",
            date_of_birth="1990-12-10",
            weight_kg="61.5",
        )
    ),
    AddExercise(ExerciseBody(title="Squat")),
    ChangeExercise(1, {"title": "Deep squat", "equipment_required": True}),
    PlanTraining(TrainingBody(client_id=1, title="Legs", date="2026-05-04")),
    AddExerciseToTraining(
        TrainingExerciseBody(training_id=1, exercise_id=1, order_in_training=1, extra_weight="2.5")
    ),
    ChangeTraining(1, {"duration_min": 60}),
    DrawUpPlan(TrainingPlanBody(user_id=1, title="Spring")),
    AddTrainingToPlan(1, TrainingInPlanBody(training_id=1)),
    PinPlan(1, PinBody(training_plan_id=1)),
    DrawUpPlan(TrainingPlanBody(user_id=1, title="Autumn")),
    DeletePlan(2),
    RequestPayment(PaymentBody(client_id=1, membership_id=1)),
    ChangePayment(1, PaymentBody(client_id=1, membership_id=1, payment_status=PaymentStatus.PAID)),
    DrawUpReport(ReportBody(report_date_start="2026-01-01", report_date_end="2026-01-31")),
    DeleteUser(2),
]

KINDS = {
    "user": 2,
    "membership": 1,
    "client": 1,
    "exercise": 1,
    "training": 1,
    "training-plan": 2,
    "payment": 1,
    "report": 1,
    # of two names and a third, two addresses, a title, the client of a user, a membership
    "reservation": 9,
}


class StockApplication(Application[str]):
    """The library's application as it comes; its name says which table it opens."""

    name = "ledger"


def environment(url: str) -> dict[str, str]:
    """What the library reads its settings from."""
    parts: dict[str, Any] = conninfo_to_dict(url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "ORIGINATOR_ID_TYPE": "text",
        "POSTGRES_DBNAME": parts["dbname"],
        "POSTGRES_HOST": parts["host"],
        "POSTGRES_PORT": str(parts.get("port", 5432)),
        "POSTGRES_USER": parts["user"],
        "POSTGRES_PASSWORD": parts.get("password", ""),
    }


def loaded_by_the_library(url: str, streams: list[str]) -> dict[str, Aggregate]:
    with StockApplication(environment(url)) as application:
        return {stream: application.repository.get(stream) for stream in streams}


async def test_the_stock_library_loads_every_aggregate_as_we_do(club: Club, database: str) -> None:
    for command in A_LIFE_IN_THE_CLUB:
        await club.bus.execute(command, Context(THE_CLUB, "scene"))
    streams = [row[0] for row in look(database, "SELECT DISTINCT originator_id FROM ledger_events")]

    theirs = await asyncio.to_thread(loaded_by_the_library, database, streams)
    ours = {stream: replay(e) for stream, e in (await club.ledger.streams(streams)).items()}

    assert Counter(aggregate.TOPIC for aggregate in theirs.values()) == KINDS
    assert theirs == ours
    assert theirs["user-2"].deleted
    assert theirs["user-2"].version == 3
    assert theirs["membership-1"].facts["description"] == "für alle 🏋"


async def test_the_stock_library_reads_the_log_in_our_order(club: Club, database: str) -> None:
    for command in A_LIFE_IN_THE_CLUB[:4]:
        await club.bus.execute(command, Context(THE_CLUB, "scene"))

    def read() -> list[tuple[int, Any, str]]:
        with StockApplication(environment(database)) as application:
            notifications = application.recorder.select_notifications(start=None, limit=100)
            return [(n.id, n.originator_id, n.topic) for n in notifications]

    query = "SELECT notification_id, originator_id, topic FROM ledger_events ORDER BY 1"
    assert await asyncio.to_thread(read) == look(database, query)
