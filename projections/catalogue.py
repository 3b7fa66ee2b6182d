"""Every read model, and the groups in which they advance."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from domain import values
from projections import (
    client_words,
    clients,
    exercises,
    memberships,
    page_links,
    payments,
    reports,
    rules,
    sessions,
    subscriptions,
    training_plans,
    trainings,
    users,
)
from projections.engine.model import Group
from projections.engine.schema import DOCUMENTED as NAME
from projections.figures import clients as figures_of_clients
from projections.figures import money, plans
from projections.figures import trainings as figures_of_trainings
from projections.versions import versions_of

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

_MODELS = (
    users.MODEL,
    memberships.MODEL,
    clients.MODEL,
    client_words.MODEL,
    exercises.MODEL,
    trainings.MODEL,
    training_plans.MODEL,
    payments.MODEL,
    reports.MODEL,
    rules.MODEL,
    sessions.MODEL,
    subscriptions.MODEL,
    page_links.MODEL,
)

DOCUMENTED = Group(
    NAME,
    generation=3,
    models=(*_MODELS, versions_of(*(kind for model in _MODELS for kind in model.listens_to))),
    types=ENUMS,
)
"""The documented tables, which reference each other, and what is kept beside them."""

FIGURES = Group(
    "figures",
    generation=1,
    models=(figures_of_clients.MODEL, money.MODEL, figures_of_trainings.MODEL, plans.MODEL),
)
"""The figures that the club is run by; they are refreshed every now and then."""

GROUPS = (DOCUMENTED, FIGURES)
"""Every group; each advances by itself."""
