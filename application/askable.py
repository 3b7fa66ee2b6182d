"""What an entry of the catalogue says of a command or a query that can be asked from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from application.access import Permission
from application.command import Command
from application.fields import Body
from application.ports.queries import View
from domain.aggregate import Aggregate
from domain.values import Role

Reading = Callable[[Any], object]
"""What a command takes of a body."""


class Answer(StrEnum):
    """What a command is answered with."""

    CREATED = "created"
    """A new thing."""
    CHANGED = "changed"
    """The thing as it is now."""
    DELETED = "deleted"
    """Nothing: it is gone."""


@dataclass(frozen=True, slots=True)
class AskableCommand:
    """A command that can be asked over any channel."""

    command: Callable[..., Command]
    """The command, made of the numbers that it is about and of what it takes of the body."""
    permission: Permission | None
    """What the caller must be allowed to do; None for what anybody may."""
    answer: Answer
    body: type[Body] | None = None
    numbers: int = 0
    """How many numbers say what it is about."""
    reading: Reading = lambda body: body
    view: View | None = None
    """Where the answer is read, if the row says more than the aggregate does."""

    @property
    def needs_body(self) -> bool:
        """Whether it has to come with a body: all but a new thing of which nothing must be said."""
        if self.body is None:
            return False
        fields = self.body.model_fields.values()
        return self.answer is not Answer.CREATED or any(field.is_required() for field in fields)

    def made(self, numbers: Sequence[int], body: Body | None = None) -> Command:
        """The command, of what was asked."""
        return self.command(*numbers, *(() if body is None else (self.reading(body),)))


@dataclass(frozen=True, slots=True)
class AskableRow:
    """A query for one row."""

    kind: type[Aggregate]
    """What is said not to be there, where the row is not."""
    view: View
    permission: Permission
    numbers: int = 1
    """How many numbers the row is found by."""
    composed: bool = False
    """Whether it shows more than one aggregate, so that no version says what it shows."""


@dataclass(frozen=True, slots=True)
class AskableList:
    """A query for the rows of a view, in pages."""

    view: View
    permission: Permission | None
    columns: tuple[str, ...]
    """What it may be sorted by."""
    of: str = ""
    """The row whose rows these are, where they are not all: the query that has to find it."""
    by: str = ""
    """The column that names it."""
    within: Mapping[Role, Mapping[str, Any]] = field(default_factory=dict)
    """What holds for the rows that a role reaches, where it does not reach all."""


@dataclass(frozen=True, slots=True)
class AskableFigures:
    """A query for figures, of a span of days."""

    permission: Permission
    report: str = ""
    """The name of the report; none for the overview of all."""


@dataclass(frozen=True, slots=True)
class AskablePast:
    """A query for what happened, which the ledger itself answers."""

    permission: Permission


def creates(
    command: Callable[..., Command],
    body: type[Body],
    permission: Permission | None,
    *,
    numbers: int = 0,
    view: View | None = None,
) -> AskableCommand:
    """What is a POST in REST."""
    return AskableCommand(command, permission, Answer.CREATED, body, numbers, view=view)


def replaces(
    command: Callable[..., Command], body: type[Body], permission: Permission, *, numbers: int = 1
) -> AskableCommand:
    """What is a PUT in REST: every fact of the body holds from here on."""
    return AskableCommand(
        command, permission, Answer.CHANGED, body, numbers, lambda body: body.replacement()
    )


def changes(
    command: Callable[..., Command], body: type[Body], permission: Permission, *, numbers: int = 1
) -> AskableCommand:
    """What is a PATCH in REST: the facts that the body names hold from here on."""
    return AskableCommand(
        command, permission, Answer.CHANGED, body, numbers, lambda body: body.named()
    )


def revises(
    command: Callable[..., Command], body: type[Body], permission: Permission
) -> AskableCommand:
    """What is a PUT or a PATCH in REST, where the command reads the body itself."""
    return AskableCommand(command, permission, Answer.CHANGED, body, 1)


def deletes(
    command: Callable[..., Command], permission: Permission, *, numbers: int = 1
) -> AskableCommand:
    """What is a DELETE in REST."""
    return AskableCommand(command, permission, Answer.DELETED, numbers=numbers)
