"""Everything that can be asked from outside, by name: commands, rows, lists and figures.

Each channel derives from this page. REST has an operation of each name (`register_client`),
RabbitMQ takes a message of each command's; who may ask is in `application.access`.
"""

from __future__ import annotations

from collections.abc import Mapping

from application import (
    clients,
    exercises,
    first_passwords,
    memberships,
    page_links,
    payments,
    reports,
    rules,
    sessions,
    subscriptions,
    trainings,
    users,
    walk_ins,
)
from application import training_plans as plans
from application.access import Permission
from application.askable import (
    AskableCommand,
    AskableFigures,
    AskableList,
    AskablePast,
    AskableRow,
    changes,
    creates,
    deletes,
    replaces,
    revises,
)
from application.ports.queries import View
from domain.clients import Client
from domain.exercises import Exercise
from domain.memberships import Membership
from domain.payments import Payment
from domain.reports import Report
from domain.rules import ClubRules
from domain.subscriptions import Subscription
from domain.training_plans import TrainingPlan
from domain.trainings import Training
from domain.users import User
from domain.values import PaymentStatus, Role

COMMANDS: Mapping[str, AskableCommand] = {
    # --- users
    "register-user": creates(users.RegisterUser, users.NewUser, None),
    "replace-user": revises(users.ChangeUser, users.UserReplacement, Permission.USERS_CHANGE),
    "change-user": revises(users.ChangeUser, users.UserChanges, Permission.USERS_CHANGE),
    "delete-user": deletes(users.DeleteUser, Permission.USERS_DELETE),
    "issue-first-code": creates(
        first_passwords.IssueFirstCode,
        first_passwords.FirstCodeBody,
        Permission.USERS_FIRST_CODE,
        numbers=1,
    ),
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
    "register-walk-in": creates(
        walk_ins.RegisterWalkIn, walk_ins.WalkInBody, Permission.CLIENTS_WALK_IN
    ),
    "grant-days": creates(
        clients.GrantDays, clients.GrantBody, Permission.CLIENTS_GRANT, numbers=1
    ),
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
    "copy-training": creates(
        trainings.CopyTraining, trainings.CopyBody, Permission.TRAININGS_KEEP, numbers=1
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
    "schedule-plan": creates(
        plans.SchedulePlan, plans.ScheduleBody, Permission.TRAININGS_KEEP, numbers=1
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
    "subscribe": replaces(
        subscriptions.Subscribe,
        subscriptions.SubscriptionBody,
        Permission.REPORTS_READ,
        numbers=0,
    ),
    "make-page-link": creates(
        page_links.MakePageLink, page_links.PageLinkBody, Permission.REPORTS_READ
    ),
    "revoke-page-link": deletes(page_links.RevokePageLink, Permission.REPORTS_READ),
    # --- the rules of the club
    "change-rules": changes(
        rules.ChangeRules, rules.RulesChanges, Permission.RULES_CHANGE, numbers=0
    ),
}
"""What the club is asked to do; `application.handlers` does it."""

ROWS: Mapping[str, AskableRow] = {
    "read-user": AskableRow(User, View.USERS, Permission.USERS_READ),
    "read-me": AskableRow(
        User, View.USERS_THEMSELVES, Permission.USERS_READ, numbers=0, composed=True
    ),
    "read-membership": AskableRow(Membership, View.MEMBERSHIPS, Permission.MEMBERSHIPS_READ),
    "read-client": AskableRow(Client, View.CLIENTS, Permission.CLIENTS_READ),
    "read-admission": AskableRow(Client, View.ADMISSIONS, Permission.CLIENTS_READ),
    "read-user-of-client": AskableRow(
        Client, View.USERS_OF_CLIENTS, Permission.USERS_OF_CLIENTS, composed=True
    ),
    "read-membership-of-client": AskableRow(
        Client, View.MEMBERSHIPS_OF_CLIENTS, Permission.CLIENTS_READ, composed=True
    ),
    "read-exercise": AskableRow(Exercise, View.EXERCISES, Permission.EXERCISES_READ),
    "read-training": AskableRow(Training, View.TRAININGS, Permission.TRAININGS_READ),
    "read-training-with-exercises": AskableRow(
        Training, View.TRAININGS_WITH_EXERCISE_IDS, Permission.TRAININGS_READ
    ),
    "read-training-exercise": AskableRow(
        Training, View.EXERCISES_OF_TRAININGS, Permission.TRAININGS_READ, numbers=2
    ),
    "read-training-plan": AskableRow(
        TrainingPlan, View.TRAINING_PLANS, Permission.TRAINING_PLANS_READ
    ),
    "read-payment": AskableRow(Payment, View.PAYMENTS, Permission.PAYMENTS_READ),
    "read-report": AskableRow(Report, View.REPORTS, Permission.REPORTS_READ),
    "read-subscriptions": AskableRow(
        Subscription, View.SUBSCRIPTIONS, Permission.REPORTS_READ, numbers=0
    ),
    "read-rules": AskableRow(ClubRules, View.RULES, Permission.RULES_READ, numbers=0),
}
"""What the club is asked for by number; the port `application.ports.queries` answers it."""

CLIENT_COLUMNS = (
    "id",
    "user_id",
    "membership_id",
    "first_name",
    "last_name",
    "phone_number",
    "gender",
    "date_of_birth",
    "status",
)
TRAINING_COLUMNS = ("id", "training_type", "title", "intensity", "duration_min", "date")
PLAN_COLUMNS = ("id", "title", "status", "created_at")
PAYMENT_COLUMNS = ("id", "membership_id", "payment_status", "timestamp")

TO_SETTLE = {Role.SYSTEM: {"payment_status": PaymentStatus.PENDING.value}}
"""The payments that a list shows to a role that is there to settle them."""

LISTS: Mapping[str, AskableList] = {
    "list-users": AskableList(
        View.USERS_EVER,
        Permission.USERS_LIST,
        ("id", "username", "email", "role", "created_at", "last_login"),
        within={Role.STAFFER: {"is_client": True}},
    ),
    "list-users-for-report": AskableList(
        View.USERS_FOR_REPORT, Permission.USERS_FOR_REPORT, ("id", "from_date", "to_date")
    ),
    "list-sessions": AskableList(
        View.SESSIONS, Permission.SESSIONS_READ, ("id", "user_id", "opened_at", "last_used_at")
    ),
    "list-sessions-of-user": AskableList(
        View.SESSIONS,
        Permission.SESSIONS_OF_USERS,
        ("id", "opened_at", "last_used_at"),
        of="read-user",
        by="user_id",
    ),
    "list-plans-of-user": AskableList(
        View.TRAINING_PLANS,
        Permission.TRAINING_PLANS_READ,
        PLAN_COLUMNS,
        of="read-user",
        by="user_id",
    ),
    "list-offers": AskableList(View.OFFERS, None, ("id", "access_level", "price")),
    "list-memberships": AskableList(
        View.MEMBERSHIPS, Permission.MEMBERSHIPS_LIST, ("id", "access_level", "price")
    ),
    "list-clients": AskableList(View.CLIENTS, Permission.CLIENTS_LIST, CLIENT_COLUMNS),
    "search-clients": AskableList(View.CLIENTS, Permission.CLIENTS_SEARCH, CLIENT_COLUMNS),
    "list-grants": AskableList(
        View.GRANTS, Permission.CLIENTS_GRANT, ("granted_at",), of="read-client", by="client_id"
    ),
    "list-plans-of-client": AskableList(
        View.PLANS_OF_CLIENTS,
        Permission.CLIENTS_READ,
        ("client_id", "training_plan_id", "title", "status"),
        of="read-client",
        by="client_id",
    ),
    "list-trainings-of-client": AskableList(
        View.TRAININGS,
        Permission.TRAININGS_READ,
        TRAINING_COLUMNS,
        of="read-client",
        by="client_id",
    ),
    "list-payments-of-client": AskableList(
        View.PAYMENTS,
        Permission.PAYMENTS_READ,
        PAYMENT_COLUMNS,
        of="read-client",
        by="client_id",
        within=TO_SETTLE,
    ),
    "list-exercises": AskableList(
        View.EXERCISES,
        Permission.EXERCISES_READ,
        ("id", "title", "muscle_group", "equipment_required", "complexity_lvl"),
    ),
    "list-trainings": AskableList(
        View.TRAININGS, Permission.TRAININGS_LIST, ("client_id", *TRAINING_COLUMNS)
    ),
    "list-trainings-exercises": AskableList(
        View.EXERCISES_OF_TRAININGS,
        Permission.TRAININGS_LIST,
        ("training_id", "exercise_id", "order_in_training", "sets", "reps"),
    ),
    "list-exercises-of-training": AskableList(
        View.EXERCISES_IN_FULL,
        Permission.TRAININGS_READ,
        ("training_id", "exercise_id", "order_in_training", "sets", "reps", "muscle_group"),
        of="read-training",
        by="training_id",
    ),
    "list-training-plans": AskableList(
        View.TRAINING_PLANS,
        Permission.TRAINING_PLANS_LIST,
        ("user_id", *PLAN_COLUMNS),
    ),
    "list-trainings-in-plan": AskableList(
        View.TRAININGS_OF_PLANS,
        Permission.TRAINING_PLANS_READ,
        ("training_plan_id", "training_id"),
        of="read-training-plan",
        by="training_plan_id",
    ),
    "list-payments": AskableList(
        View.PAYMENTS,
        Permission.PAYMENTS_LIST,
        ("client_id", *PAYMENT_COLUMNS),
        within=TO_SETTLE,
    ),
    "list-second-collections": AskableList(
        View.SECOND_COLLECTIONS,
        Permission.PAYMENTS_SECOND_COLLECTIONS,
        ("payment_id", "client_id", "collector", "collected_at", "returned"),
    ),
    "list-page-links": AskableList(
        View.PAGE_LINKS, Permission.REPORTS_READ, ("id", "made_at", "expires_at")
    ),
    "list-reports": AskableList(
        View.REPORTS, Permission.REPORTS_READ, ("id", "report_date_start", "report_date_end")
    ),
}
"""What the club is asked for by the page; the same port answers it."""

FIGURES: Mapping[str, AskableFigures] = {
    "read-clients-report": AskableFigures(Permission.REPORTS_READ, "clients"),
    "read-cohorts-report": AskableFigures(Permission.REPORTS_READ, "cohorts"),
    "read-money-report": AskableFigures(Permission.REPORTS_READ, "money"),
    "read-trainings-report": AskableFigures(Permission.REPORTS_READ, "trainings"),
    "read-plans-report": AskableFigures(Permission.REPORTS_READ, "plans"),
    "read-overview": AskableFigures(Permission.REPORTS_READ),
}
"""What the club is asked for by the period; the port `application.ports.figures` answers it."""

PAST: Mapping[str, AskablePast] = {
    "list-history": AskablePast(Permission.HISTORY_READ),
    "explain-event": AskablePast(Permission.HISTORY_READ),
    "list-history-of": AskablePast(Permission.HISTORY_READ),
    "list-history-of-client": AskablePast(Permission.HISTORY_OF_OWN),
    "list-history-of-payment": AskablePast(Permission.HISTORY_OF_OWN),
}
"""What happened in the club; the port `application.ports.history` answers it."""

AT_THE_DOOR: Mapping[str, Permission | None] = {
    "first-password": None,
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
    entries: Mapping[str, AskableCommand | AskableRow | AskableList | AskableFigures | AskablePast]
    entries = {**COMMANDS, **ROWS, **LISTS, **FIGURES, **PAST}
    return entries[name].permission
