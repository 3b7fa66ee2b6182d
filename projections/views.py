"""Every view and look-up that can be asked for, and the listing or the SQL behind each."""

from __future__ import annotations

from collections.abc import Mapping

from application.ports.queries import Lookup, View
from projections import (
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
from projections.engine.lists import Listing

LISTINGS: Mapping[View, Listing] = {
    View.USERS: users.LISTING,
    View.USERS_EVER: users.EVER,
    View.USERS_THEMSELVES: users.THEMSELVES,
    View.USERS_FOR_REPORT: users.FOR_REPORT,
    View.USERS_OF_CLIENTS: users.OF_CLIENTS,
    View.SESSIONS: sessions.LISTING,
    View.MEMBERSHIPS: memberships.LISTING,
    View.OFFERS: memberships.OFFERS,
    View.MEMBERSHIPS_OF_CLIENTS: memberships.OF_CLIENTS,
    View.CLIENTS: clients.LISTING,
    View.ADMISSIONS: clients.ADMISSION,
    View.GRANTS: clients.GRANTS,
    View.EXERCISES: exercises.LISTING,
    View.TRAININGS: trainings.LISTING,
    View.TRAININGS_WITH_EXERCISE_IDS: trainings.WITH_EXERCISE_IDS,
    View.EXERCISES_OF_TRAININGS: trainings.EXERCISES_LISTING,
    View.EXERCISES_IN_FULL: trainings.EXERCISES_IN_FULL,
    View.TRAINING_PLANS: training_plans.LISTING,
    View.TRAININGS_OF_PLANS: training_plans.TRAININGS_LISTING,
    View.PLANS_OF_CLIENTS: training_plans.PINNED_LISTING,
    View.PAYMENTS: payments.LISTING,
    View.SECOND_COLLECTIONS: payments.SECOND_COLLECTIONS_LISTING,
    View.REPORTS: reports.LISTING,
    View.SUBSCRIPTIONS: subscriptions.LISTING,
    View.PAGE_LINKS: page_links.LISTING,
    View.RULES: rules.LISTING,
}

LOOKUPS: Mapping[Lookup, str] = {
    Lookup.USER_NAMED: users.BY_USERNAME,
    Lookup.CLIENTS_FOLLOWING: training_plans.FOLLOWED_BY,
    Lookup.TRAININGS_HOLDING: trainings.HOLDING_EXERCISE,
}
