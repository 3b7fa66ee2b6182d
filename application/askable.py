"""What an entry of the catalogue says of a command or a query that can be asked from outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from application.access import Permission
from application.command import Command
from application.fields import Body
from application.ports.queries import View
from domain.aggregate import Aggregate

Reading = Callable[[Any], object]
"""What a command takes of a body."""


class Answer(StrEnum):
    """What whoever asks is answered with."""

    CREATED = "created"
    """A new thing."""
    CHANGED = "changed"
    """The thing as it is now."""
    DELETED = "deleted"
    """Nothing: it is gone."""
    ROW = "row"
    """One row of a view."""
    PAGE = "page"
    """Some rows of a view, in order."""


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

    def made(self, numbers: Sequence[int], body: Body | None = None) -> Command:
        """The command, of what was asked."""
        return self.command(*numbers, *(() if body is None else (self.reading(body),)))


@dataclass(frozen=True, slots=True)
class AskableQuery:
    """A query that can be asked for a row, or for pages of rows."""

    view: View
    permission: Permission
    answer: Answer
    kind: type[Aggregate] | None = None
    """Of a row: what is said not to be there."""
    numbers: int = 0
    """How many numbers say which row, or whose rows."""
    columns: tuple[str, ...] = ()
    """Of pages: what they may be filtered and sorted by."""
    of: str = ""
    """Of pages: the query that has to find the thing whose rows they are."""


# --- commands ------------------------------------------------------------------------------


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


# --- queries -------------------------------------------------------------------------------


def row(
    kind: type[Aggregate], view: View, permission: Permission, *, numbers: int = 1
) -> AskableQuery:
    """One row, by its key."""
    return AskableQuery(view, permission, Answer.ROW, kind, numbers)


def pages(view: View, permission: Permission, *columns: str, of: str = "") -> AskableQuery:
    """Pages of rows: all of a view, or those `of` one thing."""
    return AskableQuery(
        view, permission, Answer.PAGE, numbers=1 if of else 0, columns=columns, of=of
    )
