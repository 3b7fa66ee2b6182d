"""What the club has set for itself: facts in the ledger, the same for every process."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Annotated, Any, Self

from domain.aggregate import Aggregate, CreatedEvent, Event, Facts
from domain.days import zone
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

    @classmethod
    def adopt(cls, facts: Facts, at: datetime) -> Self:
        """The first rules of a club."""
        _refuse_unknown_zone(facts)
        return cls.begin(THE_ONE, Adopted, at=at, **facts)

    def row(self) -> dict[str, Any]:
        """The rules, by name; there is nothing to number."""
        return dict(self.facts)

    def change(self, facts: Facts, shared: Collection[int], at: datetime) -> None:
        """Set some of them anew; `shared` are memberships with several holders."""
        changes = self.changed(facts)
        _refuse_unknown_zone(changes)
        if changes.get("shared_memberships") is False and shared:
            raise StillShared(number=min(shared), field="shared_memberships")
        if changes:
            self.happen(Changed, at=at, changes=changes)


class Adopted(CreatedEvent):
    """The club has rules from here on."""

    TOPIC = "rules.adopted"
    paid_days: Plain[int]
    payment_patience_hours: Plain[int]
    shared_memberships: Plain[bool]
    timezone: Plain[str]

    def apply(self, aggregate: ClubRules) -> None:
        """All of them have a value."""
        aggregate.facts = {
            "paid_days": self.paid_days,
            "payment_patience_hours": self.payment_patience_hours,
            "shared_memberships": self.shared_memberships,
            "timezone": self.timezone,
        }


class Changed(Event):
    """Some rules are others from here on; what happened before stays as it was decided."""

    TOPIC = "rules.changed"
    changes: Annotated[
        dict[str, Any],
        DeclaredIn(
            Adopted, "paid_days", "payment_patience_hours", "shared_memberships", "timezone"
        ),
    ]

    def apply(self, aggregate: ClubRules) -> None:
        """What changed holds; the rest stays."""
        aggregate.amend(**self.changes)


def _refuse_unknown_zone(facts: Facts) -> None:
    if "timezone" in facts:
        zone(str(facts["timezone"]))
