"""Uniqueness, kept in the log: whoever takes a value first holds it until it is released."""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Self

from domain.aggregate import Aggregate, CreatedEvent, Event
from domain.privacy import OfUser, Plain
from domain.refusals import Conflict
from domain.text import folded

FORMS: tuple[Literal["NFC", "NFD", "NFKC", "NFKD"], ...] = ("NFC", "NFD", "NFKC", "NFKD")
"""The forms of Unicode in which one text may come."""


class UsernameTaken(Conflict):
    """This username is taken."""

    FIELD = "username"


class EmailTaken(Conflict):
    """This email address is taken."""

    FIELD = "email"


class ExerciseTitleTaken(Conflict):
    """An exercise of this title is already in the catalogue."""

    FIELD = "title"


class UserHasClient(Conflict):
    """This user is already a client: {holder}."""

    FIELD = "user_id"


class MembershipHeld(Conflict):
    """This membership is issued to {holder}."""

    FIELD = "membership_id"


@dataclass(frozen=True, slots=True)
class Value:
    """Something that may have one holder, however it is written: a username, a title."""

    kind: str
    text: str

    @property
    def name(self) -> str:
        """What its reservation is called, without showing the value itself.

        The digest keeps names and addresses out of ids, which travel further than facts do.
        """
        return self._digest(folded(self.text))

    @property
    def names(self) -> tuple[str, ...]:
        """What its reservation is called, and may have been called up to release 0.1.0.

        It took each Unicode form of a text for a text of its own, in whatever form it came.
        """
        forms = (self.text, *(unicodedata.normalize(form, self.text) for form in FORMS))
        before = (self._digest(" ".join(form.casefold().split())) for form in forms)
        return tuple(dict.fromkeys((self.name, *before)))

    def _digest(self, text: str) -> str:
        return f"{self.kind}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


class Reservation(Aggregate):
    """One value of which there may be one holder, for example a username."""

    TOPIC = "reservation"

    def __init__(self) -> None:
        super().__init__()
        self.holder: str | None = None

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
