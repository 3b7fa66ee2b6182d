"""Uniqueness, kept in the log: whoever takes a value first holds it until it is released."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Self

from domain.aggregate import Aggregate, CreatedEvent, Event
from domain.privacy import OfUser, Plain
from domain.refusals import Conflict


class UsernameTaken(Conflict):
    """This username is taken."""


class EmailTaken(Conflict):
    """This email address is taken."""


class ExerciseTitleTaken(Conflict):
    """An exercise of this title is already in the catalogue."""


class UserHasClient(Conflict):
    """This user is already a client: {holder}."""


class MembershipHeld(Conflict):
    """This membership is issued to {holder}."""


class Reservation(Aggregate):
    """One value of which there may be one holder, for example a username."""

    TOPIC = "reservation"

    def __init__(self) -> None:
        super().__init__()
        self.holder: str | None = None

    @staticmethod
    def of(kind: str, value: str) -> str:
        """What the reservation of this value is called, without showing the value itself.

        The digest keeps names and addresses out of ids, which travel further than facts do.
        """
        folded = " ".join(value.casefold().split())
        return f"{kind}-{hashlib.sha256(folded.encode()).hexdigest()[:32]}"

    @classmethod
    def make(cls, name: str, holder: str, at: datetime) -> Self:
        """The first reservation of a value."""
        return cls.begin(name, Made, at=at, holder=holder)

    def take(self, holder: str, at: datetime, taken: type[Conflict]) -> None:
        """Reserve the value for `holder`; refused with `taken` while another has it."""
        if self.holder == holder:
            return
        if self.holder is not None:
            raise taken(holder=self.holder)
        self.happen(Retaken, at=at, holder=holder)

    def join(self, holder: str, at: datetime) -> None:
        """Reserve the value for `holder`, or share it with whoever has it."""
        if self.holder is None:
            self.happen(Retaken, at=at, holder=holder)

    def pass_on(self, holder: str, other: str, at: datetime) -> None:
        """Let another of those who share the value stand in for `holder`, if `holder` has it."""
        if self.holder == holder:
            self.happen(PassedOn, at=at, holder=other)

    def release(self, holder: str, at: datetime) -> None:
        """Give the value back, if `holder` has it."""
        if self.holder == holder:
            self.happen(Released, at=at)


class Made(CreatedEvent):
    """A value was reserved for the first time."""

    TOPIC = "reservation.made"
    originator_id: OfUser[str]
    holder: Plain[str]

    def apply(self, aggregate: Reservation) -> None:
        """The holder has it."""
        aggregate.holder = self.holder


class LaterEvent(Event):
    """What became of a reservation; its id is a digest, found by whoever tries addresses."""

    originator_id: OfUser[str]


class Released(LaterEvent):
    """The holder gave the value back."""

    TOPIC = "reservation.released"

    def apply(self, aggregate: Reservation) -> None:
        """Nobody has it."""
        aggregate.holder = None


class Retaken(LaterEvent):
    """A value that had been given back was reserved again."""

    TOPIC = "reservation.retaken"
    holder: Plain[str]

    def apply(self, aggregate: Reservation) -> None:
        """The new holder has it."""
        aggregate.holder = self.holder


class PassedOn(LaterEvent):
    """The holder left, and another of those who share the value stands in."""

    TOPIC = "reservation.passed-on"
    holder: Plain[str]

    def apply(self, aggregate: Reservation) -> None:
        """The other has it."""
        aggregate.holder = self.holder
