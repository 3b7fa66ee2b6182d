"""Whom the facts of an event are about: said at each field, where the event's class is.

    username: OfUser[str]
    password_hash: Secret[str]
    role: Plain[str]

What goes out, is logged, shown, exported or sealed follows from these words, and is listed nowhere
else; `domain.facts` reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, TypeVar


class Privacy(Enum):
    """Who may come to know a fact."""

    PLAIN = "plain"
    """Whoever hears of the event: it tells nothing of who somebody is, or how they are."""
    OF_USER = "of the user"
    """Personal: of the user to whom the aggregate belongs."""
    OF_CLIENT = "of the client"
    """Personal: of the client to whom the aggregate belongs."""
    OF_CALLER = "of the caller"
    """Personal: of whoever asked for it, whom the ledger's `actor` names, where anybody knows."""
    SECRET = "secret"  # noqa: S105 - a word, no secret
    """Nobody: it is kept to be compared with."""


T = TypeVar("T")

Plain = Annotated[T, Privacy.PLAIN]
OfUser = Annotated[T, Privacy.OF_USER]
OfClient = Annotated[T, Privacy.OF_CLIENT]
OfCaller = Annotated[T, Privacy.OF_CALLER]
Secret = Annotated[T, Privacy.SECRET]


class DeclaredIn:
    """Says of changes which facts may be in them, each as another event of the kind declares it.

    A fact that has another name there is given by keyword: `DeclaredIn(Requested, "client_id",
    timestamp="occurred_at")`.
    """

    def __init__(self, event: type, *names: str, **renamed: str) -> None:
        self.event = event
        self.names: Mapping[str, str] = {**{name: name for name in names}, **renamed}
