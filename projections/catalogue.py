"""Every read table, its types, and which projector answers the events of which aggregate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from domain import values
from domain.aggregate import Event
from projections import (
    clients,
    exercises,
    memberships,
    payments,
    reports,
    sessions,
    training_plans,
    trainings,
    users,
)
from projections.engine.table import Operations, Table

ENUMS: Mapping[str, type[StrEnum]] = {
    "user_role": values.Role,
    "access_level": values.AccessLevel,
    "gender": values.Gender,
    "client_status": values.ClientStatus,
    "training_type": values.TrainingType,
    "intensity": values.Intensity,
    "muscle_group": values.MuscleGroup,
    "complexity_lvl": values.Complexity,
    "plan_status": values.PlanStatus,
    "payment_status": values.PaymentStatus,
}

VERSIONS = Table(
    "aggregate_versions",
    key=("aggregate_id",),
    columns='aggregate_id text COLLATE "C" NOT NULL, version integer NOT NULL',
)
"""Not documented: the version that each row shows, kept out of the documented tables."""

PROJECTORS: Mapping[str, Callable[[Event], Operations]] = {
    "user": users.project,
    "membership": memberships.project,
    "client": clients.project,
    "exercise": exercises.project,
    "training": trainings.project,
    "training-plan": training_plans.project,
    "payment": payments.project,
    "report": reports.project,
    "session": sessions.project,
}


def tables(*, shared_memberships: bool) -> tuple[Table, ...]:
    """Every read table, each after those that it references."""
    clients_table = clients.CLIENTS
    if shared_memberships:
        clients_table = clients.sharing_memberships(clients_table)
    return (
        *users.TABLES,
        *memberships.TABLES,
        clients_table,
        clients.CLIENT_ADMISSIONS,
        *exercises.TABLES,
        *trainings.TABLES,
        *training_plans.TABLES,
        *payments.TABLES,
        *reports.TABLES,
        *sessions.TABLES,
        VERSIONS,
    )
