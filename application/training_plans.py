"""Commands about training plans, the trainings in them, and the clients who follow them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from application.absent import missing, unknown
from application.access import Permission
from application.command import Cascade, Command
from application.fields import Body, Day, Id, Line200, Text
from application.trainings import client_in_reach, in_reach, with_exercise_ids
from application.work import Result, Work, result_of
from domain.clients import Client
from domain.refusals import Invalid
from domain.training_plans import TrainingPlan
from domain.trainings import Training
from domain.users import User
from domain.values import PlanStatus


class TrainingPlanBody(Body):
    """A plan's documented columns."""

    user_id: Id
    title: Line200
    description: Text | None = None
    status: PlanStatus = Field(
        default=PlanStatus.ACTIVE,
        description="a complete update that does not name it leaves it as it is",
    )

    def replacement(self) -> dict[str, Any]:
        """The facts of a complete update: all of them, but a status only where it is named."""
        facts = self.facts()
        if "status" not in self.model_fields_set:
            del facts["status"]
        return facts


class TrainingInPlanBody(Body):
    """Which training becomes part of the plan."""

    training_id: Id


class TrainingOnDay(Body):
    """Which training of a plan is done on which day."""

    training_id: Id
    date: Day


MOST_DAYS = 100
"""How many trainings of a plan are put onto days at once."""


MOST_AT_ONCE = 2_000
"""Trainings, and exercises in them, that one schedule gives."""


class TooMuchAtOnce(Invalid):
    """These trainings have too many exercises together: give some of them first."""


class ScheduleBody(Body):
    """Who does the trainings of a plan, and when; each as often as it is named."""

    client_id: Id
    trainings: Annotated[list[TrainingOnDay], Field(min_length=1, max_length=MOST_DAYS)]


class PinBody(Body):
    """Which plan the client follows."""

    training_plan_id: Id


class TrainingPlanChanges(TrainingPlanBody, partial=True):
    """Some columns of a plan."""


@dataclass(frozen=True, slots=True)
class DrawUpPlan(Command):
    """Draw up a plan."""

    body: TrainingPlanBody


@dataclass(frozen=True, slots=True)
class ChangePlan(Command):
    """Change a plan: all of it, or the fields named."""

    training_plan_id: int
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeletePlan(Command):
    """Throw a plan away."""

    training_plan_id: int


@dataclass(frozen=True, slots=True)
class AddTrainingToPlan(Command):
    """Make a training part of a plan."""

    training_plan_id: int
    body: TrainingInPlanBody


@dataclass(frozen=True, slots=True)
class RemoveTrainingFromPlan(Command):
    """Take a training out of a plan."""

    training_plan_id: int
    training_id: int


@dataclass(frozen=True, slots=True)
class SchedulePlan(Command):
    """Give a client trainings of a plan, each on its day."""

    training_plan_id: int
    body: ScheduleBody


@dataclass(frozen=True, slots=True)
class PinPlan(Command):
    """Let a client follow a plan."""

    client_id: int
    body: PinBody


@dataclass(frozen=True, slots=True)
class UnpinPlan(Command):
    """Let a client go their own way."""

    client_id: int
    training_plan_id: int


@dataclass(frozen=True, slots=True)
class RemoveTrainingFromPlans(Command, Cascade[TrainingPlan]):
    """Take a training that is gone out of every plan."""

    REFERENCE = "plans with training"
    KIND = TrainingPlan

    training_id: int


@dataclass(frozen=True, slots=True)
class UnpinPlansFrom(Command, Cascade[TrainingPlan]):
    """Free a client who is gone from every plan."""

    REFERENCE = "plans of client"
    KIND = TrainingPlan

    client_id: int


async def draw_up_plan(command: DrawUpPlan, work: Work) -> Result:
    """Anybody for themselves; a TRAINER for everybody."""
    body = command.body
    await _user_in_reach(body.user_id, work)
    number = await work.new_number(TrainingPlan)
    return result_of(work.add(TrainingPlan.draw_up(number, body.facts(), work.at)))


async def change_plan(command: ChangePlan, work: Work) -> Result:
    """Handing it over needs the new user in reach."""
    plan = await _plan_in_reach(command.training_plan_id, work)
    work.must_match(plan)
    user_id = command.facts.get("user_id", plan.user_id)
    if user_id != plan.user_id:
        await _user_in_reach(user_id, work)
    plan.change(command.facts, work.at)
    return result_of(plan)


async def delete_plan(command: DeletePlan, work: Work) -> Result:
    """Its trainings and clients leave it, in words."""
    plan = await _plan_in_reach(command.training_plan_id, work)
    work.must_match(plan)
    plan.delete(work.at)
    return Result(None)


async def add_training_to_plan(command: AddTrainingToPlan, work: Work) -> Result:
    """Both must be in reach."""
    plan = await _plan_in_reach(command.training_plan_id, work)
    training_id = command.body.training_id
    training = await work.refer(Training, training_id, "training_id")
    if not await in_reach(training, work):
        raise unknown(Training, training_id, "training_id")
    plan.add_training(training_id, work.at)
    return Result({"training_id": training_id, "training_plan_id": plan.number}, plan.version)


async def remove_training_from_plan(command: RemoveTrainingFromPlan, work: Work) -> Result:
    """The version is the plan's."""
    plan = await _plan_in_reach(command.training_plan_id, work)
    work.must_match(plan)
    plan.remove_training(command.training_id, work.at)
    return Result(None)


async def schedule_plan(command: SchedulePlan, work: Work) -> Result:
    """All of them, or none; the plan keeps those that it has, of which these are copies."""
    body = command.body
    plan = await _plan_in_reach(command.training_plan_id, work)
    await client_in_reach(body.client_id, work)
    await work.look(*{Training.stream(on_day.training_id) for on_day in body.trainings})
    given = []
    many = 0
    for training_id, date in ((on_day.training_id, on_day.date) for on_day in body.trainings):
        training = await work.refer(Training, training_id, "trainings")
        if training_id not in plan.training_ids or not await in_reach(training, work):
            raise unknown(Training, training_id, "trainings")
        many += 1 + len(training.exercises)
        if many > MOST_AT_ONCE:
            raise TooMuchAtOnce(field="trainings")
        number = await work.new_number(Training)
        given.append(work.add(training.copy(number, body.client_id, date, work.at)))
    shown = [with_exercise_ids(training).body for training in given]
    return Result(
        {"training_plan_id": plan.number, "client_id": body.client_id, "trainings": shown}
    )


async def pin_plan(command: PinPlan, work: Work) -> Result:
    """Both must be in reach."""
    client = await _client_in_reach(command.client_id, work)
    number = command.body.training_plan_id
    plan = await work.refer(TrainingPlan, number, "training_plan_id")
    if not work.reaches_all(Permission.TRAINING_PLANS_KEEP) and plan.user_id != work.caller.user_id:
        raise unknown(TrainingPlan, number, "training_plan_id")
    plan.pin_to(client.number, work.at)
    body = {
        "client_id": client.number,
        "training_plan_id": number,
        "pinned_at": plan.pinned[client.number],
    }
    return Result(body, plan.version)


async def unpin_plan(command: UnpinPlan, work: Work) -> Result:
    """A client may always let go of a plan, whoever drew it up; the version is the plan's."""
    client = await _client_in_reach(command.client_id, work)
    plan = await work.get(TrainingPlan, command.training_plan_id)
    if client.number not in plan.pinned:
        # Whether there is such a plan is not for everybody to know.
        work.allow(Permission.TRAINING_PLANS_KEEP, plan, owner=plan.user_id)
    work.must_match(plan)
    plan.unpin_from(client.number, work.at)
    return Result(None)


async def remove_training_from_plans(command: RemoveTrainingFromPlans, work: Work) -> Result:
    """What goes with its training has an event of its own.

    The read tables say where to look; a plan may have gone, or let go of it, since.
    """
    async for plan in work.each(command):
        if command.training_id in plan.training_ids:
            plan.remove_training(command.training_id, work.at)
    return Result(None)


async def unpin_plans_from(command: UnpinPlansFrom, work: Work) -> Result:
    """What goes with its client has an event of its own.

    The read tables say where to look; a plan may have gone, or let go of the client, since.
    """
    async for plan in work.each(command):
        if command.client_id in plan.pinned:
            plan.unpin_from(command.client_id, work.at)
    return Result(None)


async def _user_in_reach(user_id: int, work: Work) -> None:
    if not work.reaches_all(Permission.TRAINING_PLANS_KEEP) and user_id != work.caller.user_id:
        raise unknown(User, user_id, "user_id")
    await work.refer(User, user_id, "user_id")


async def _plan_in_reach(number: int, work: Work) -> TrainingPlan:
    plan = await work.get(TrainingPlan, number)
    work.allow(Permission.TRAINING_PLANS_KEEP, plan, owner=plan.user_id)
    return plan


async def _client_in_reach(client_id: int, work: Work) -> Client:
    client = await work.get(Client, client_id)
    if (
        not work.reaches_all(Permission.TRAINING_PLANS_KEEP)
        and client.user_id != work.caller.user_id
    ):
        raise missing(Client, client_id)
    return client
