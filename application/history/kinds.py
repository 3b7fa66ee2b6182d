"""What has a history, by the name that paths have."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from domain.aggregate import Aggregate
from domain.clients import Client
from domain.exercises import Exercise
from domain.memberships import Membership
from domain.page_links import PageLink
from domain.payments import Payment
from domain.reports import Report
from domain.rules import ClubRules
from domain.sessions import Session
from domain.subscriptions import Subscription
from domain.training_plans import TrainingPlan
from domain.trainings import Training
from domain.users import User


class Resource(StrEnum):
    """What has a history, as paths name it."""

    USERS = "users"
    MEMBERSHIPS = "memberships"
    CLIENTS = "clients"
    EXERCISES = "exercises"
    TRAININGS = "trainings"
    TRAINING_PLANS = "training-plans"
    PAYMENTS = "payments"
    REPORTS = "reports"
    SUBSCRIPTIONS = "subscriptions"
    PAGE_LINKS = "page-links"
    RULES = "rules"
    SESSIONS = "sessions"


KINDS: Mapping[Resource, type[Aggregate]] = {
    Resource.USERS: User,
    Resource.MEMBERSHIPS: Membership,
    Resource.CLIENTS: Client,
    Resource.EXERCISES: Exercise,
    Resource.TRAININGS: Training,
    Resource.TRAINING_PLANS: TrainingPlan,
    Resource.PAYMENTS: Payment,
    Resource.REPORTS: Report,
    Resource.SUBSCRIPTIONS: Subscription,
    Resource.PAGE_LINKS: PageLink,
    Resource.RULES: ClubRules,
    Resource.SESSIONS: Session,
}
