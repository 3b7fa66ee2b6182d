"""Commands about trainings and the exercises in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from application.absent import missing, unknown
from application.access import Permission
from application.clients import owner_of
from application.command import Cascade, Command
from application.fields import Body, Count, Day, Id, Line200, Text, Weight
from application.work import Result, Work, result_of
from domain.clients import Client
from domain.exercises import Exercise
from domain.trainings import ClientNotTraining, Training
from domain.values import Intensity, TrainingType

Minutes = Annotated[Count, Field(ge=1, le=1440)]
Order = Annotated[Count, Field(ge=1, le=1000)]
Sets = Annotated[Count, Field(ge=1, le=1000)]
Reps = Annotated[Count, Field(ge=1, le=100_000)]
Seconds = Annotated[Count, Field(ge=0, le=86_400)]


def _distinct(numbers: list[int]) -> list[int]:
    if len(set(numbers)) != len(numbers):
        raise PydanticCustomError("distinct", "Input should name each exercise once")
    return numbers


class TrainingBody(Body):
    """A training's documented columns."""

    client_id: Id
    training_type: TrainingType | None = None
    title: Line200
    intensity: Intensity | None = None
    duration_min: Minutes = 45
    date: Day | None = None
    description: Text | None = None


class TrainingWithExercises(TrainingBody):
    """A training, with the exercises it starts with, in order."""

    exercise_ids: Annotated[
        list[Id],
        Field(max_length=200, json_schema_extra={"uniqueItems": True}),
        AfterValidator(_distinct),
    ]


class Doing(Body):
    """How an exercise is done in a training."""

    order_in_training: Order
    sets: Sets = 3
    reps: Reps = 10
    rest_time_sec: Seconds = 60
    extra_weight: Weight | None = None


class TrainingExerciseBody(Doing):
    """The documented columns of an exercise in a training."""

    training_id: Id
    exercise_id: Id

    def doing(self) -> dict[str, Any]:
        """How the exercise is done, without saying which and where."""
        return self.model_dump(mode="json", exclude={"training_id", "exercise_id"})


class CopyBody(Body):
    """When a training is done again, and by whom."""

    date: Day
    client_id: Id | None = Field(
        default=None, description="the client of the training, unless another is told"
    )


class TrainingChanges(TrainingBody, partial=True):
    """Some columns of a training."""


class DoingChanges(Doing, partial=True):
    """Some columns of how an exercise is done."""


@dataclass(frozen=True, slots=True)
class PlanTraining(Command):
    """Give a client a training, with the exercises it starts with."""

    body: TrainingBody


@dataclass(frozen=True, slots=True)
class CopyTraining(Command):
    """Give a client a training again, on another day."""

    training_id: int
    body: CopyBody


@dataclass(frozen=True, slots=True)
class ChangeTraining(Command):
    """Change a training: all of it, or the fields named."""

    training_id: int
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeleteTraining(Command):
    """Take a training back."""

    training_id: int


@dataclass(frozen=True, slots=True)
class AddExerciseToTraining(Command):
    """Make an exercise part of a training."""

    body: TrainingExerciseBody


@dataclass(frozen=True, slots=True)
class ChangeExerciseInTraining(Command):
    """Change how an exercise is done in a training."""

    training_id: int
    exercise_id: int
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RemoveExerciseFromTraining(Command):
    """Take an exercise out of a training."""

    training_id: int
    exercise_id: int


@dataclass(frozen=True, slots=True)
class DeleteTrainingsOf(Command, Cascade[Training]):
    """Take back every training of a client who is gone."""

    REFERENCE = "trainings of client"
    KIND = Training

    client_id: int


@dataclass(frozen=True, slots=True)
class RemoveExerciseEverywhere(Command, Cascade[Training]):
    """Take an exercise that is gone out of every training."""

    REFERENCE = "trainings with exercise"
    KIND = Training

    exercise_id: int


async def plan_training(command: PlanTraining, work: Work) -> Result:
    """The client must be in reach, and welcome; every exercise must be in the catalogue."""
    body = command.body
    exercise_ids = body.exercise_ids if isinstance(body, TrainingWithExercises) else []
    await work.look(Client.stream(body.client_id), *map(Exercise.stream, exercise_ids))
    await client_in_reach(body.client_id, work)
    for exercise_id in exercise_ids:
        await work.refer(Exercise, exercise_id, "exercise_ids")
    number = await work.new_number(Training)
    facts = body.model_dump(mode="json", exclude={"exercise_ids"})
    training = work.add(Training.plan(number, facts, work.at))
    for order, exercise_id in enumerate(exercise_ids, start=1):
        training.add_exercise(exercise_id, Doing(order_in_training=order).facts(), work.at)
    if isinstance(body, TrainingWithExercises):
        return with_exercise_ids(training)
    return result_of(training)


async def copy_training(command: CopyTraining, work: Work) -> Result:
    """The training and the client must be in reach, and the client welcome."""
    training = await _training_in_reach(command.training_id, work)
    client_id = command.body.client_id or training.client_id
    await client_in_reach(client_id, work)
    number = await work.new_number(Training)
    return with_exercise_ids(work.add(training.copy(number, client_id, command.body.date, work.at)))


async def change_training(command: ChangeTraining, work: Work) -> Result:
    """Giving it to another client needs that client in reach, and welcome."""
    training = await _training_in_reach(command.training_id, work)
    work.must_match(training)
    client_id = command.facts.get("client_id", training.client_id)
    if client_id != training.client_id:
        await client_in_reach(client_id, work)
    training.change(command.facts, work.at)
    return result_of(training)


async def delete_training(command: DeleteTraining, work: Work) -> Result:
    """Plans that hold it let go of it (a policy)."""
    training = await _training_in_reach(command.training_id, work)
    work.must_match(training)
    training.delete(work.at)
    return Result(None)


async def add_exercise_to_training(command: AddExerciseToTraining, work: Work) -> Result:
    """Once in each training."""
    body = command.body
    training = await work.refer(Training, body.training_id, "training_id")
    if not await in_reach(training, work):
        raise unknown(Training, body.training_id, "training_id")
    await work.refer(Exercise, body.exercise_id, "exercise_id")
    training.add_exercise(body.exercise_id, body.doing(), work.at)
    return _exercise_row(training, body.exercise_id)


async def change_exercise_in_training(command: ChangeExerciseInTraining, work: Work) -> Result:
    """The version is the training's."""
    training = await _training_in_reach(command.training_id, work)
    training.exercise(command.exercise_id)
    work.must_match(training, _exercise_row(training, command.exercise_id).body)
    training.change_exercise(command.exercise_id, command.facts, work.at)
    return _exercise_row(training, command.exercise_id)


async def remove_exercise_from_training(command: RemoveExerciseFromTraining, work: Work) -> Result:
    """The version is the training's."""
    training = await _training_in_reach(command.training_id, work)
    training.exercise(command.exercise_id)
    work.must_match(training)
    training.remove_exercise(command.exercise_id, work.at)
    return Result(None)


async def delete_trainings_of(command: DeleteTrainingsOf, work: Work) -> Result:
    """What goes with its client has an event of its own.

    The read tables say where to look; a training may have gone, or to another client, since.
    """
    async for training in work.each(command):
        if training.client_id == command.client_id:
            training.delete(work.at)
    return Result(None)


async def remove_exercise_everywhere(command: RemoveExerciseEverywhere, work: Work) -> Result:
    """What goes with its exercise has an event of its own.

    The read tables say where to look; a training may have gone, or let go of it, since.
    """
    async for training in work.each(command):
        if command.exercise_id in training.exercises:
            training.remove_exercise(command.exercise_id, work.at)
    return Result(None)


def with_exercise_ids(training: Training) -> Result:
    """The training as its row shows it, with the numbers of its exercises in order."""
    body = training.row() | {"exercise_ids": training.exercise_ids}
    return Result(body, training.version)


def _exercise_row(training: Training, exercise_id: int) -> Result:
    return Result(training.exercise_row(exercise_id), training.version)


async def client_in_reach(client_id: int, work: Work) -> None:
    """Refuse a client who is not the caller's to give a training, or who cannot be given one."""
    client = await work.refer(Client, client_id, "client_id")
    if not work.reaches_all(Permission.TRAININGS_KEEP) and client.user_id != work.caller.user_id:
        raise unknown(Client, client_id, "client_id")
    if not client.can_be_given_trainings:
        raise ClientNotTraining(field="client_id", status=client.status.value)


async def _training_in_reach(training_id: int, work: Work) -> Training:
    training = await work.get(Training, training_id)
    if not await in_reach(training, work):
        raise missing(Training, training_id)
    return training


async def in_reach(training: Training, work: Work) -> bool:
    """Whether the caller keeps this training: a TRAINER, or the user whose client's it is."""
    if work.reaches_all(Permission.TRAININGS_KEEP):
        return True
    owner = await owner_of(training.client_id, work)
    return owner is not None and owner == work.caller.user_id
