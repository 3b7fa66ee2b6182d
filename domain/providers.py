"""A payment provider, whose signed messages settle payments.

A provider's secret is never in the log: it is derived from the club's own key, the provider's name
and a number, and the log has the numbers that are good.
"""

from __future__ import annotations

from datetime import datetime
from typing import Self

from domain.aggregate import Aggregate, CreatedEvent, Event
from domain.privacy import Plain
from domain.refusals import Conflict, NotFound

MOST_SECRETS = 2
"""Secrets that are good at a time, so that a provider can change to the next without a gap."""


class ProviderDisabled(Conflict):
    """This provider was disabled."""


class ProviderThere(Conflict):
    """There is a provider of this name already."""

    FIELD = "name"


class NoSuchProvider(NotFound):
    """There is no provider of this name."""


class Provider(Aggregate):
    """A payment provider, by its name."""

    TOPIC = "provider"

    def __init__(self) -> None:
        super().__init__()
        self.secrets: tuple[int, ...] = ()
        self.last_secret = 0

    @classmethod
    def register(cls, name: str, at: datetime) -> Self:
        """A provider with its first secret; the name is its id."""
        return cls.begin(name, Registered, at=at)

    def add_secret(self, at: datetime) -> int:
        """The number of one more secret."""
        number = self.last_secret + 1
        self.happen(SecretAdded, at=at, number_of_secret=number)
        return number

    def disable(self, at: datetime) -> None:
        """Take nothing from it any more."""
        if not self.secrets:
            raise ProviderDisabled
        self.happen(Disabled, at=at)


class Registered(CreatedEvent):
    """The club takes messages from a payment provider."""

    TOPIC = "provider.registered"

    def apply(self, aggregate: Provider) -> None:
        """Its first secret is good."""
        aggregate.secrets, aggregate.last_secret = (1,), 1


class SecretAdded(Event):
    """The provider has another secret; with it, the oldest but one goes."""

    TOPIC = "provider.secret-added"
    number_of_secret: Plain[int]

    def apply(self, aggregate: Provider) -> None:
        """The newest ones are good."""
        aggregate.secrets = (*aggregate.secrets, self.number_of_secret)[-MOST_SECRETS:]
        aggregate.last_secret = self.number_of_secret


class Disabled(Event):
    """The club takes no messages from the provider any more."""

    TOPIC = "provider.disabled"

    def apply(self, aggregate: Provider) -> None:
        """None of its secrets is good."""
        aggregate.secrets = ()
