"""What can be asked of the read tables: views, in rows and pages, and look-ups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol


class View(StrEnum):
    """Rows of one form, from one table or several."""

    USERS = "users"
    USERS_EVER = "users-ever"
    USERS_THEMSELVES = "users-themselves"
    USERS_FOR_REPORT = "users-for-report"
    SESSIONS = "sessions"
    MEMBERSHIPS = "memberships"
    OFFERS = "offers"
    CLIENTS = "clients"
    ADMISSIONS = "admissions"
    GRANTS = "grants"
    MEMBERSHIPS_OF_CLIENTS = "memberships-of-clients"
    USERS_OF_CLIENTS = "users-of-clients"
    EXERCISES = "exercises"
    TRAININGS = "trainings"
    TRAININGS_WITH_EXERCISE_IDS = "trainings-with-exercise-ids"
    EXERCISES_OF_TRAININGS = "exercises-of-trainings"
    EXERCISES_IN_FULL = "exercises-in-full"
    TRAINING_PLANS = "training-plans"
    TRAININGS_OF_PLANS = "trainings-of-plans"
    PLANS_OF_CLIENTS = "plans-of-clients"
    PAYMENTS = "payments"
    SECOND_COLLECTIONS = "second-collections"
    REPORTS = "reports"
    SUBSCRIPTIONS = "subscriptions"
    PAGE_LINKS = "page-links"
    RULES = "rules"


class Lookup(StrEnum):
    """A question that is answered with numbers."""

    USER_NAMED = "user-named"
    """The user of this name, whatever its case, who is not deleted."""
    CLIENTS_FOLLOWING = "clients-following"
    """Those who follow this plan, of this user's clients."""
    TRAININGS_HOLDING = "trainings-holding"
    """Those that hold this exercise, at most two: of this user, or (None) everybody's."""


class UnreadableCursor(ValueError):
    """This is not the `after` of a page of this list."""


class Term(NamedTuple):
    """One of the words that somebody searches for."""

    word: str | None
    """How a word begins, as `domain.text.words` spells it; None where it is not one."""
    text: str
    """As it was typed."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page of a view is wanted."""

    filters: Mapping[str, Any] = field(default_factory=dict)
    sort: str = ""
    """A name of the view's columns, with a `-` in front for the greatest first."""
    after: str | None = None
    """The cursor that the page before gave."""
    limit: int = 50
    owner: int | None = None
    """Only rows of this user."""
    terms: Sequence[Term] = ()
    """Only rows that each of these finds."""


class ReadRow(NamedTuple):
    """One row: whose it is, at which version, and its JSON."""

    owner: int | None
    version: int
    body: bytes


class Page(NamedTuple):
    """Some rows of a view, as a JSON array, and the cursor of the next page."""

    body: bytes
    after: str | None


class Queries(Protocol):
    """Answers from the read tables."""

    async def one(self, view: View, *key: int) -> ReadRow | None:
        """The row with this key."""
        ...

    async def page(self, view: View, wanted: PageRequest) -> Page:
        """A page of a view; raises UnreadableCursor."""
        ...

    async def total(self, view: View, wanted: PageRequest) -> int:
        """How many rows all pages have."""
        ...

    async def find(self, lookup: Lookup, *given: int | str | None) -> Sequence[int]:
        """The numbers that answer a look-up."""
        ...
