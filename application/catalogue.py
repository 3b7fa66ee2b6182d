"""Everything that can be asked from outside, by name: commands and queries.

Each channel derives from this page. REST has an operation of each name (`register_client`),
RabbitMQ takes a message of each command's; who may ask is in `application.access`.
"""

from __future__ import annotations

from collections.abc import Mapping

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
from application.askable import (
    AskableCommand,
    AskableQuery,
    changes,
    creates,
    deletes,
    pages,
    replaces,
    revises,
    row,
)
from application.ports.queries import View
from domain.clients import Client
from domain.exercises import Exercise
from domain.memberships import Membership
from domain.payments import Payment
from domain.reports import Report
from domain.training_plans import TrainingPlan
from domain.trainings import Training
from domain.users import User

COMMANDS: Mapping[str, AskableCommand] = {
    # --- users
    "register-user": creates(users.RegisterUser, users.NewUser, None),
    "replace-user": revises(users.ChangeUser, users.UserReplacement, Permission.USERS_CHANGE),
    "change-user": revises(users.ChangeUser, users.UserChanges, Permission.USERS_CHANGE),
    "delete-user": deletes(users.DeleteUser, Permission.USERS_DELETE),
    "unbind-telegram": deletes(sessions.UnbindTelegram, Permission.USERS_UNBIND_TELEGRAM),
    # --- memberships
    "add-membership": creates(
        memberships.AddMembership, memberships.MembershipBody, Permission.MEMBERSHIPS_KEEP
    ),
    "replace-membership": replaces(
        memberships.ChangeMembership, memberships.MembershipBody, Permission.MEMBERSHIPS_KEEP
    ),
    "change-membership": changes(
        memberships.ChangeMembership, memberships.MembershipChanges, Permission.MEMBERSHIPS_KEEP
    ),
    "delete-membership": deletes(memberships.DeleteMembership, Permission.MEMBERSHIPS_KEEP),
    # --- clients, and the plans that they follow
    "register-client": creates(clients.RegisterClient, clients.ClientBody, Permission.CLIENTS_KEEP),
    "replace-client": replaces(clients.ChangeClient, clients.ClientBody, Permission.CLIENTS_KEEP),
    "change-client": changes(clients.ChangeClient, clients.ClientChanges, Permission.CLIENTS_KEEP),
    "delete-client": deletes(clients.DeleteClient, Permission.CLIENTS_KEEP),
    "pin-plan": creates(plans.PinPlan, plans.PinBody, Permission.TRAINING_PLANS_KEEP, numbers=1),
    "unpin-plan": deletes(plans.UnpinPlan, Permission.TRAINING_PLANS_KEEP, numbers=2),
    # --- exercises
    "add-exercise": creates(
        exercises.AddExercise, exercises.ExerciseBody, Permission.EXERCISES_KEEP
    ),
    "replace-exercise": replaces(
        exercises.ChangeExercise, exercises.ExerciseBody, Permission.EXERCISES_KEEP
    ),
    "change-exercise": changes(
        exercises.ChangeExercise, exercises.ExerciseChanges, Permission.EXERCISES_KEEP
    ),
    "delete-exercise": deletes(exercises.DeleteExercise, Permission.EXERCISES_DELETE),
    # --- trainings, and the exercises in them
    "plan-training": creates(
        trainings.PlanTraining, trainings.TrainingBody, Permission.TRAININGS_KEEP
    ),
    "plan-training-with-exercises": creates(
        trainings.PlanTraining, trainings.TrainingWithExercises, Permission.TRAININGS_KEEP
    ),
    "replace-training": replaces(
        trainings.ChangeTraining, trainings.TrainingBody, Permission.TRAININGS_KEEP
    ),
    "change-training": changes(
        trainings.ChangeTraining, trainings.TrainingChanges, Permission.TRAININGS_KEEP
    ),
    "delete-training": deletes(trainings.DeleteTraining, Permission.TRAININGS_KEEP),
    "add-training-exercise": creates(
        trainings.AddExerciseToTraining, trainings.TrainingExerciseBody, Permission.TRAININGS_KEEP
    ),
    "replace-exercise-of-training": replaces(
        trainings.ChangeExerciseInTraining, trainings.Doing, Permission.TRAININGS_KEEP, numbers=2
    ),
    "change-exercise-of-training": changes(
        trainings.ChangeExerciseInTraining,
        trainings.DoingChanges,
        Permission.TRAININGS_KEEP,
        numbers=2,
    ),
    "remove-exercise-of-training": deletes(
        trainings.RemoveExerciseFromTraining, Permission.TRAININGS_KEEP, numbers=2
    ),
    # --- training plans, and the trainings in them
    "draw-up-training-plan": creates(
        plans.DrawUpPlan, plans.TrainingPlanBody, Permission.TRAINING_PLANS_KEEP
    ),
    "replace-training-plan": replaces(
        plans.ChangePlan, plans.TrainingPlanBody, Permission.TRAINING_PLANS_KEEP
    ),
    "change-training-plan": changes(
        plans.ChangePlan, plans.TrainingPlanChanges, Permission.TRAINING_PLANS_KEEP
    ),
    "delete-training-plan": deletes(plans.DeletePlan, Permission.TRAINING_PLANS_KEEP),
    "add-training-to-plan": creates(
        plans.AddTrainingToPlan,
        plans.TrainingInPlanBody,
        Permission.TRAINING_PLANS_KEEP,
        numbers=1,
    ),
    "remove-training-from-plan": deletes(
        plans.RemoveTrainingFromPlan, Permission.TRAINING_PLANS_KEEP, numbers=2
    ),
    # --- payments and reports
    "request-payment": creates(
        payments.RequestPayment, payments.PaymentBody, Permission.PAYMENTS_KEEP
    ),
    "change-payment": revises(
        payments.ChangePayment, payments.PaymentBody, Permission.PAYMENTS_KEEP
    ),
    "delete-payment": deletes(payments.DeletePayment, Permission.PAYMENTS_KEEP),
    "draw-up-report": creates(
        reports.DrawUpReport, reports.ReportBody, Permission.REPORTS_DRAW_UP, view=View.REPORTS
    ),
}
"""What the club is asked to do; `application.handlers` does it."""

QUERIES: Mapping[str, AskableQuery] = {
    # --- users
    "list-users": pages(
        View.USERS,
        Permission.USERS_LIST,
        *("id", "username", "email", "role", "created_at", "last_login"),
    ),
    "list-users-for-report": pages(
        View.USERS_FOR_REPORT, Permission.USERS_FOR_REPORT, "id", "from_date", "to_date"
    ),
    "read-user": row(User, View.USERS, Permission.USERS_READ),
    "list-sessions": pages(
        View.SESSIONS, Permission.SESSIONS_READ, "id", "user_id", "opened_at", "last_used_at"
    ),
    # --- memberships
    "list-memberships": pages(
        View.MEMBERSHIPS, Permission.MEMBERSHIPS_LIST, "id", "access_level", "price"
    ),
    "read-membership": row(Membership, View.MEMBERSHIPS, Permission.MEMBERSHIPS_READ),
    # --- clients, and the plans that they follow
    "list-clients": pages(
        View.CLIENTS,
        Permission.CLIENTS_LIST,
        *("id", "user_id", "membership_id", "first_name", "last_name", "phone_number"),
        *("gender", "date_of_birth", "status"),
    ),
    "read-client": row(Client, View.CLIENTS, Permission.CLIENTS_READ),
    "list-plans-of-client": pages(
        View.PLANS_OF_CLIENTS,
        Permission.CLIENTS_READ,
        *("client_id", "training_plan_id"),
        of="read-client",
    ),
    # --- exercises
    "list-exercises": pages(
        View.EXERCISES,
        Permission.EXERCISES_READ,
        *("id", "title", "muscle_group", "equipment_required", "complexity_lvl"),
    ),
    "read-exercise": row(Exercise, View.EXERCISES, Permission.EXERCISES_READ),
    # --- trainings, and the exercises in them
    "list-trainings": pages(
        View.TRAININGS,
        Permission.TRAININGS_LIST,
        *("id", "client_id", "training_type", "title", "intensity", "duration_min", "date"),
    ),
    "read-training": row(Training, View.TRAININGS, Permission.TRAININGS_READ),
    "read-training-with-exercises": row(
        Training, View.TRAININGS_WITH_EXERCISE_IDS, Permission.TRAININGS_READ
    ),
    "list-trainings-exercises": pages(
        View.EXERCISES_OF_TRAININGS,
        Permission.TRAININGS_LIST,
        *("training_id", "exercise_id", "order_in_training", "sets", "reps"),
    ),
    "read-training-exercise": row(
        Training, View.EXERCISES_OF_TRAININGS, Permission.TRAININGS_READ, numbers=2
    ),
    # --- training plans, and the trainings in them
    "list-training-plans": pages(
        View.TRAINING_PLANS,
        Permission.TRAINING_PLANS_LIST,
        *("id", "user_id", "title", "status", "created_at"),
    ),
    "read-training-plan": row(TrainingPlan, View.TRAINING_PLANS, Permission.TRAINING_PLANS_READ),
    "list-trainings-in-plan": pages(
        View.TRAININGS_OF_PLANS,
        Permission.TRAINING_PLANS_READ,
        *("training_plan_id", "training_id"),
        of="read-training-plan",
    ),
    # --- payments and reports
    "list-payments": pages(
        View.PAYMENTS,
        Permission.PAYMENTS_LIST,
        *("id", "client_id", "membership_id", "payment_status", "timestamp"),
    ),
    "read-payment": row(Payment, View.PAYMENTS, Permission.PAYMENTS_READ),
    "list-reports": pages(
        View.REPORTS, Permission.REPORTS_READ, "id", "report_date_start", "report_date_end"
    ),
    "read-report": row(Report, View.REPORTS, Permission.REPORTS_READ),
}
"""What the club is asked for; the port `application.ports.queries` answers it."""

AT_THE_DOOR: Mapping[str, Permission | None] = {
    "login": None,
    "verification": None,
    "get-access-token": None,
    "logout": Permission.SESSIONS_END,
}
"""What is asked at the door, of REST alone, and what it takes; `application.sign_in` does it."""


def permission_for(name: str) -> Permission | None:
    """What somebody must be allowed to do to ask for this; None for what anybody may.

    Raises KeyError for what cannot be asked.
    """
    if name in AT_THE_DOOR:
        return AT_THE_DOOR[name]
    return COMMANDS[name].permission if name in COMMANDS else QUERIES[name].permission
