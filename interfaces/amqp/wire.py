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
from application.access import Permission
from application.command import Command
from application.fields import Body
from application.ports.queries import View

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wire:
    """How a command comes over the wire."""

    make: Callable[..., Command]
    """The command, from the numbers of the subject and the body."""
    permission: Permission | None
    """What the caller must be allowed to do; None for what anybody may."""
    body: type[Body] | None = None
    numbers: int = 0
    """How many numbers the subject has."""
    status: int = 200
    view: View | None = None
    """Where the row is read, if that says more than the aggregate does."""


def _create(
    make: Callable[..., Command], permission: Permission | None, body: type[Body], **more: Any
) -> Wire:
    return Wire(make, permission, body, status=201, **more)


def _facts(body: Body) -> Facts:
    return body.facts()


def _named(body: Body) -> Facts:
    return body.named()


def _replace(
    make: Callable[..., Command],
    permission: Permission,
    body: type[Body],
    *,
    numbers: int = 1,
    facts: Callable[[Any], Facts] = _facts,
) -> Wire:
    """What is PUT in REST; `facts` are what the body says."""
    return Wire(lambda *given: make(*given[:-1], facts(given[-1])), permission, body, numbers)


def _change(
    make: Callable[..., Command], permission: Permission, body: type[Body], *, numbers: int = 1
) -> Wire:
    """What is PATCHed in REST."""
    return _replace(make, permission, body, numbers=numbers, facts=_named)


def _delete(make: Callable[..., Command], permission: Permission, numbers: int = 1) -> Wire:
    return Wire(make, permission, numbers=numbers, status=204)


WIRE: Mapping[str, Wire] = {
    "register-user": _create(users.RegisterUser, None, users.NewUser),
    "replace-user": Wire(users.ChangeUser, Permission.USERS_CHANGE, users.UserReplacement, 1),
    "change-user": Wire(users.ChangeUser, Permission.USERS_CHANGE, users.UserChanges, 1),
    "delete-user": _delete(users.DeleteUser, Permission.USERS_DELETE),
    "unbind-telegram": _delete(sessions.UnbindTelegram, Permission.USERS_UNBIND_TELEGRAM),
    "add-membership": _create(
        memberships.AddMembership, Permission.MEMBERSHIPS_KEEP, memberships.MembershipBody
    ),
    "replace-membership": _replace(
        memberships.ChangeMembership, Permission.MEMBERSHIPS_KEEP, memberships.MembershipBody
    ),
    "change-membership": _change(
        memberships.ChangeMembership, Permission.MEMBERSHIPS_KEEP, memberships.MembershipChanges
    ),
    "delete-membership": _delete(memberships.DeleteMembership, Permission.MEMBERSHIPS_KEEP),
    "register-client": _create(clients.RegisterClient, Permission.CLIENTS_KEEP, clients.ClientBody),
    "replace-client": _replace(
        clients.ChangeClient,
        Permission.CLIENTS_KEEP,
        clients.ClientBody,
        facts=clients.ClientBody.replacement,
    ),
    "change-client": _change(clients.ChangeClient, Permission.CLIENTS_KEEP, clients.ClientChanges),
    "delete-client": _delete(clients.DeleteClient, Permission.CLIENTS_KEEP),
    "pin-plan": _create(plans.PinPlan, Permission.TRAINING_PLANS_KEEP, plans.PinBody, numbers=1),
    "unpin-plan": _delete(plans.UnpinPlan, Permission.TRAINING_PLANS_KEEP, 2),
    "add-exercise": _create(
        exercises.AddExercise, Permission.EXERCISES_KEEP, exercises.ExerciseBody
    ),
    "replace-exercise": _replace(
        exercises.ChangeExercise, Permission.EXERCISES_KEEP, exercises.ExerciseBody
    ),
    "change-exercise": _change(
        exercises.ChangeExercise, Permission.EXERCISES_KEEP, exercises.ExerciseChanges
    ),
    "delete-exercise": _delete(exercises.DeleteExercise, Permission.EXERCISES_DELETE),
    "plan-training": _create(
        trainings.PlanTraining, Permission.TRAININGS_KEEP, trainings.TrainingBody
    ),
    "plan-training-with-exercises": _create(
        trainings.PlanTraining, Permission.TRAININGS_KEEP, trainings.TrainingWithExercises
    ),
    "replace-training": _replace(
        trainings.ChangeTraining, Permission.TRAININGS_KEEP, trainings.TrainingBody
    ),
    "change-training": _change(
        trainings.ChangeTraining, Permission.TRAININGS_KEEP, trainings.TrainingChanges
    ),
    "delete-training": _delete(trainings.DeleteTraining, Permission.TRAININGS_KEEP),
    "add-training-exercise": _create(
        trainings.AddExerciseToTraining, Permission.TRAININGS_KEEP, trainings.TrainingExerciseBody
    ),
    "replace-exercise-of-training": _replace(
        trainings.ChangeExerciseInTraining, Permission.TRAININGS_KEEP, trainings.Doing, numbers=2
    ),
    "change-exercise-of-training": _change(
        trainings.ChangeExerciseInTraining,
        Permission.TRAININGS_KEEP,
        trainings.DoingChanges,
        numbers=2,
    ),
    "remove-exercise-of-training": _delete(
        trainings.RemoveExerciseFromTraining, Permission.TRAININGS_KEEP, 2
    ),
    "draw-up-training-plan": _create(
        plans.DrawUpPlan, Permission.TRAINING_PLANS_KEEP, plans.TrainingPlanBody
    ),
    "replace-training-plan": _replace(
        plans.ChangePlan,
        Permission.TRAINING_PLANS_KEEP,
        plans.TrainingPlanBody,
        facts=plans.TrainingPlanBody.replacement,
    ),
    "change-training-plan": _change(
        plans.ChangePlan, Permission.TRAINING_PLANS_KEEP, plans.TrainingPlanChanges
    ),
    "delete-training-plan": _delete(plans.DeletePlan, Permission.TRAINING_PLANS_KEEP),
    "add-training-to-plan": _create(
        plans.AddTrainingToPlan, Permission.TRAINING_PLANS_KEEP, plans.TrainingInPlanBody, numbers=1
    ),
    "remove-training-from-plan": _delete(
        plans.RemoveTrainingFromPlan, Permission.TRAINING_PLANS_KEEP, 2
    ),
    "request-payment": _create(
        payments.RequestPayment, Permission.PAYMENTS_KEEP, payments.PaymentBody
    ),
    "change-payment": Wire(
        payments.ChangePayment, Permission.PAYMENTS_KEEP, payments.PaymentBody, 1
    ),
    "delete-payment": _delete(payments.DeletePayment, Permission.PAYMENTS_KEEP),
    "draw-up-report": _create(
        reports.DrawUpReport, Permission.REPORTS_DRAW_UP, reports.ReportBody, view=View.REPORTS
    ),
}
