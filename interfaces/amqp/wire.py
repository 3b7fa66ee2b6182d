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
from projections.engine.lists import Listing
from projections.reports import LISTING as REPORTS

Facts = Mapping[str, Any]


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


def _facts(body: Body) -> Facts:
    return body.facts()


def _named(body: Body) -> Facts:
    return body.named()


def _replace(
    make: Callable[..., Command],
    action: str,
    body: type[Body],
    *,
    numbers: int = 1,
    facts: Callable[[Any], Facts] = _facts,
) -> Wire:
    """What is PUT in REST; `facts` are what the body says."""
    return Wire(lambda *given: make(*given[:-1], facts(given[-1])), action, body, numbers)


def _change(
    make: Callable[..., Command], action: str, body: type[Body], *, numbers: int = 1
) -> Wire:
    """What is PATCHed in REST."""
    return _replace(make, action, body, numbers=numbers, facts=_named)


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
    "replace-membership": _replace(
        memberships.ChangeMembership, "memberships.keep", memberships.MembershipBody
    ),
    "change-membership": _change(
        memberships.ChangeMembership, "memberships.keep", memberships.MembershipChanges
    ),
    "delete-membership": _delete(memberships.DeleteMembership, "memberships.keep"),
    "register-client": _create(clients.RegisterClient, "clients.keep", clients.ClientBody),
    "replace-client": _replace(
        clients.ChangeClient,
        "clients.keep",
        clients.ClientBody,
        facts=clients.ClientBody.replacement,
    ),
    "change-client": _change(clients.ChangeClient, "clients.keep", clients.ClientChanges),
    "delete-client": _delete(clients.DeleteClient, "clients.keep"),
    "pin-plan": _create(plans.PinPlan, "training-plans.keep", plans.PinBody, numbers=1),
    "unpin-plan": _delete(plans.UnpinPlan, "training-plans.keep", 2),
    "add-exercise": _create(exercises.AddExercise, "exercises.keep", exercises.ExerciseBody),
    "replace-exercise": _replace(
        exercises.ChangeExercise, "exercises.keep", exercises.ExerciseBody
    ),
    "change-exercise": _change(
        exercises.ChangeExercise, "exercises.keep", exercises.ExerciseChanges
    ),
    "delete-exercise": _delete(exercises.DeleteExercise, "exercises.delete"),
    "plan-training": _create(trainings.PlanTraining, "trainings.keep", trainings.TrainingBody),
    "plan-training-with-exercises": _create(
        trainings.PlanTraining, "trainings.keep", trainings.TrainingWithExercises
    ),
    "replace-training": _replace(
        trainings.ChangeTraining, "trainings.keep", trainings.TrainingBody
    ),
    "change-training": _change(
        trainings.ChangeTraining, "trainings.keep", trainings.TrainingChanges
    ),
    "delete-training": _delete(trainings.DeleteTraining, "trainings.keep"),
    "add-training-exercise": _create(
        trainings.AddExerciseToTraining, "trainings.keep", trainings.TrainingExerciseBody
    ),
    "replace-exercise-of-training": _replace(
        trainings.ChangeExerciseInTraining, "trainings.keep", trainings.Doing, numbers=2
    ),
    "change-exercise-of-training": _change(
        trainings.ChangeExerciseInTraining, "trainings.keep", trainings.DoingChanges, numbers=2
    ),
    "remove-exercise-of-training": _delete(
        trainings.RemoveExerciseFromTraining, "trainings.keep", 2
    ),
    "draw-up-training-plan": _create(
        plans.DrawUpPlan, "training-plans.keep", plans.TrainingPlanBody
    ),
    "replace-training-plan": _replace(
        plans.ChangePlan,
        "training-plans.keep",
        plans.TrainingPlanBody,
        facts=plans.TrainingPlanBody.replacement,
    ),
    "change-training-plan": _change(
        plans.ChangePlan, "training-plans.keep", plans.TrainingPlanChanges
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
