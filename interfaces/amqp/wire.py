"""Every command that may come over RabbitMQ, by the name of its REST operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from application import (
    clients,
    exercises,
    memberships,
    payments,
    reports,
    sessions,
    trainings,
    users,
)
from application import training_plans as plans
from application.command import Command
from application.fields import Body
from projections.lists import Listing
from projections.reports import LISTING as REPORTS


@dataclass(frozen=True, slots=True)
class Wire:
    """How a command comes over the wire."""

    make: Callable[..., Command]
    """The command, from the numbers of the subject and the body."""
    action: str | None
    """What the caller must be allowed to do; None for what anybody may."""
    body: type[Body] | None = None
    numbers: int = 0
    """How many numbers the subject has."""
    status: int = 200
    showing: Listing | None = None
    """Where the row is read, if that says more than the aggregate does."""


def _create(
    make: Callable[..., Command], action: str | None, body: type[Body], **more: Any
) -> Wire:
    return Wire(make, action, body, status=201, **more)


def _delete(make: Callable[..., Command], action: str, numbers: int = 1) -> Wire:
    return Wire(make, action, numbers=numbers, status=204)


WIRE: Mapping[str, Wire] = {
    "register-user": _create(users.RegisterUser, None, users.NewUser),
    "replace-user": Wire(users.ChangeUser, "users.change", users.UserReplacement, 1),
    "change-user": Wire(users.ChangeUser, "users.change", users.UserChanges, 1),
    "delete-user": _delete(users.DeleteUser, "users.delete"),
    "unbind-telegram": _delete(sessions.UnbindTelegram, "users.unbind-telegram"),
    "add-membership": _create(
        memberships.AddMembership, "memberships.keep", memberships.MembershipBody
    ),
    "replace-membership": Wire(
        lambda number, body: memberships.ChangeMembership(number, body.facts()),
        "memberships.keep",
        memberships.MembershipBody,
        1,
    ),
    "change-membership": Wire(
        lambda number, body: memberships.ChangeMembership(number, body.named()),
        "memberships.keep",
        memberships.MembershipChanges,
        1,
    ),
    "delete-membership": _delete(memberships.DeleteMembership, "memberships.keep"),
    "register-client": _create(clients.RegisterClient, "clients.keep", clients.ClientBody),
    "replace-client": Wire(
        lambda number, body: clients.ChangeClient(number, body.replacement()),
        "clients.keep",
        clients.ClientBody,
        1,
    ),
    "change-client": Wire(
        lambda number, body: clients.ChangeClient(number, body.named()),
        "clients.keep",
        clients.ClientChanges,
        1,
    ),
    "delete-client": _delete(clients.DeleteClient, "clients.keep"),
    "pin-plan": _create(plans.PinPlan, "training-plans.keep", plans.PinBody, numbers=1),
    "unpin-plan": _delete(plans.UnpinPlan, "training-plans.keep", 2),
    "add-exercise": _create(exercises.AddExercise, "exercises.keep", exercises.ExerciseBody),
    "replace-exercise": Wire(
        lambda number, body: exercises.ChangeExercise(number, body.facts()),
        "exercises.keep",
        exercises.ExerciseBody,
        1,
    ),
    "change-exercise": Wire(
        lambda number, body: exercises.ChangeExercise(number, body.named()),
        "exercises.keep",
        exercises.ExerciseChanges,
        1,
    ),
    "delete-exercise": _delete(exercises.DeleteExercise, "exercises.delete"),
    "plan-training": _create(trainings.PlanTraining, "trainings.keep", trainings.TrainingBody),
    "plan-training-with-exercises": _create(
        trainings.PlanTraining, "trainings.keep", trainings.TrainingWithExercises
    ),
    "replace-training": Wire(
        lambda number, body: trainings.ChangeTraining(number, body.facts()),
        "trainings.keep",
        trainings.TrainingBody,
        1,
    ),
    "change-training": Wire(
        lambda number, body: trainings.ChangeTraining(number, body.named()),
        "trainings.keep",
        trainings.TrainingChanges,
        1,
    ),
    "delete-training": _delete(trainings.DeleteTraining, "trainings.keep"),
    "add-training-exercise": _create(
        trainings.AddExerciseToTraining, "trainings.keep", trainings.TrainingExerciseBody
    ),
    "replace-exercise-of-training": Wire(
        lambda training, exercise, body: trainings.ChangeExerciseInTraining(
            training, exercise, body.facts()
        ),
        "trainings.keep",
        trainings.Doing,
        2,
    ),
    "change-exercise-of-training": Wire(
        lambda training, exercise, body: trainings.ChangeExerciseInTraining(
            training, exercise, body.named()
        ),
        "trainings.keep",
        trainings.DoingChanges,
        2,
    ),
    "remove-exercise-of-training": _delete(
        trainings.RemoveExerciseFromTraining, "trainings.keep", 2
    ),
    "draw-up-training-plan": _create(
        plans.DrawUpPlan, "training-plans.keep", plans.TrainingPlanBody
    ),
    "replace-training-plan": Wire(
        lambda number, body: plans.ChangePlan(number, body.replacement()),
        "training-plans.keep",
        plans.TrainingPlanBody,
        1,
    ),
    "change-training-plan": Wire(
        lambda number, body: plans.ChangePlan(number, body.named()),
        "training-plans.keep",
        plans.TrainingPlanChanges,
        1,
    ),
    "delete-training-plan": _delete(plans.DeletePlan, "training-plans.keep"),
    "add-training-to-plan": _create(
        plans.AddTrainingToPlan, "training-plans.keep", plans.TrainingInPlanBody, numbers=1
    ),
    "remove-training-from-plan": _delete(plans.RemoveTrainingFromPlan, "training-plans.keep", 2),
    "request-payment": _create(payments.RequestPayment, "payments.keep", payments.PaymentBody),
    "change-payment": Wire(payments.ChangePayment, "payments.keep", payments.PaymentBody, 1),
    "delete-payment": _delete(payments.DeletePayment, "payments.keep"),
    "draw-up-report": _create(
        reports.DrawUpReport, "reports.draw-up", reports.ReportBody, showing=REPORTS
    ),
}
"""Every command that may come over the wire, by the name of its REST operation."""
