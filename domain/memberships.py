"""What the club sells: the right to come in, at a price."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from domain.aggregate import Aggregate, CreatedEvent, Event, Facts
from domain.privacy import DeclaredIn, Plain


class Membership(Aggregate):
    """The right to come in, at a price."""

    TOPIC = "membership"

    @classmethod
    def add(cls, number: int, facts: Facts, at: datetime) -> Self:
        """Put a membership on offer."""
        return cls.begin(number, Added, at=at, **facts)

    @property
    def price(self) -> str:
        """What it costs now."""
        return str(self.facts["price"])

    def change(self, facts: Facts, at: datetime) -> None:
        """Change what is sold; a new price is an event of its own."""
        changes = self.changed(facts)
        price = changes.pop("price", None)
        if price is not None:
            self.happen(Repriced, at=at, price=price)
        if changes:
            self.happen(DetailsChanged, at=at, changes=changes)

    def delete(self, at: datetime) -> None:
        """Take it off the offer; that no client holds it is for its reservation to say."""
        self.happen(Deleted, at=at)


class Added(CreatedEvent):
    """A membership is on offer."""

    TOPIC = "membership.added"
    access_level: Plain[str | None]
    description: Plain[str | None]
    price: Plain[str]

    def apply(self, aggregate: Membership) -> None:
        """All documented columns have a value from here on."""
        aggregate.facts = {
            "access_level": self.access_level,
            "description": self.description,
            "price": self.price,
        }


class Repriced(Event):
    """It costs another price from now on."""

    TOPIC = "membership.repriced"
    price: Plain[str]

    def apply(self, aggregate: Membership) -> None:
        """The new price holds."""
        aggregate.amend(price=self.price)


class DetailsChanged(Event):
    """What it opens or how it is described changed."""

    TOPIC = "membership.details-changed"
    changes: Annotated[dict[str, Any], DeclaredIn(Added, "access_level", "description")]

    def apply(self, aggregate: Membership) -> None:
        """What changed holds; the rest stays."""
        aggregate.amend(**self.changes)


class Deleted(Event):
    """It is not on offer any more."""

    TOPIC = "membership.deleted"

    def apply(self, aggregate: Membership) -> None:
        """It is gone."""
        aggregate.deleted = True
