"""What the club has set for itself: facts in the ledger, the same for every process."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Annotated, Any, Self

from domain import upcasts
from domain.aggregate import Aggregate, CreatedEvent, Event, Facts, time_text
from domain.days import time_of_day, zone
from domain.privacy import DeclaredIn, Plain
from domain.refusals import Conflict

THE_ONE = 1
"""A club has one set of rules."""


class StillShared(Conflict):
    """Memberships have several holders, as membership {number}: each needs one of its own first."""

    FIELD = "shared_memberships"


class ClubRules(Aggregate):
    """The rules of the club, and how they came to be what they are."""

    TOPIC = "rules"

    def __init__(self) -> None:
        super().__init__()
        self.timezone_since = ""
        """When the time zone began to hold."""

    @classmethod
    def adopt(cls, facts: Facts, at: datetime) -> Self:
        """The first rules of a club."""
        _refuse_what_no_clock_shows(facts)
        return cls.begin(THE_ONE, Adopted, at=at, **facts)

    def row(self) -> dict[str, Any]:
        """The rules, by name; there is nothing to number."""
        return dict(self.facts)

    def change(self, facts: Facts, shared: Collection[int], at: datetime) -> None:
        """Set some of them anew; `shared` are memberships with several holders."""
        changes = self.changed(facts)
        _refuse_what_no_clock_shows(changes)
        if changes.get("shared_memberships") is False and shared:
            raise StillShared(number=min(shared), field="shared_memberships")
        if changes:
            self.happen(Changed, at=at, changes=changes)


class Adopted(CreatedEvent):
    """The club has rules from here on.

    Since version 2 they say when the daily report is made.
    """

    TOPIC = "rules.adopted"
    class_version = 2
    upcast_v1_v2 = staticmethod(upcasts.daily_report_at_eight)
    paid_days: Plain[int]
    payment_patience_hours: Plain[int]
    shared_memberships: Plain[bool]
    timezone: Plain[str]
    daily_report_at: Plain[str]

    def apply(self, aggregate: ClubRules) -> None:
        """All of them have a value."""
        aggregate.timezone_since = time_text(self.timestamp)
        aggregate.facts = {
            "paid_days": self.paid_days,
            "payment_patience_hours": self.payment_patience_hours,
            "shared_memberships": self.shared_memberships,
            "timezone": self.timezone,
            "daily_report_at": self.daily_report_at,
        }


class Changed(Event):
    """Some rules are others from here on; what happened before stays as it was decided."""

    TOPIC = "rules.changed"
    changes: Annotated[
        dict[str, Any],
        DeclaredIn(
            Adopted,
            "paid_days",
            "payment_patience_hours",
            "shared_memberships",
            "timezone",
            "daily_report_at",
        ),
    ]

    def apply(self, aggregate: ClubRules) -> None:
        """What changed holds; the rest stays."""
        aggregate.amend(**self.changes)
        if "timezone" in self.changes:
            aggregate.timezone_since = time_text(self.timestamp)


def _refuse_what_no_clock_shows(facts: Facts) -> None:
    if "timezone" in facts:
        zone(str(facts["timezone"]))
    if "daily_report_at" in facts:
        time_of_day(str(facts["daily_report_at"]))
