"""The refusals for what is not there."""

from __future__ import annotations

from domain.aggregate import Aggregate
from domain.refusals import NotFound, UnknownReference


def missing(kind: type[Aggregate], number: int | str) -> NotFound:
    """The refusal for an aggregate that is not there."""
    return NotFound(what=spoken(kind), id=number)


def unknown(kind: type[Aggregate], number: int, field: str) -> UnknownReference:
    """The refusal for a reference to an aggregate that is not there."""
    return UnknownReference(field=field, what=spoken(kind), id=number)


def spoken(kind: type[Aggregate]) -> str:
    """What people call it: `training plan`."""
    return kind.TOPIC.replace("-", " ")
