"""What every command is, and what is known of whoever asks for it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Generic, TypeVar

import orjson

from application.access import THIS_MACHINE, Caller, Origin
from application.fields import Body
from application.ports.ledger import ReceiptKey
from domain.aggregate import Aggregate

A = TypeVar("A", bound=Aggregate)


@dataclass(slots=True)
class Context:
    """In what a command is given: by whom, in which conversation, and under which key."""

    caller: Caller
    correlation_id: str
    versions: frozenset[int] | None = None
    """The versions that the request demands of the aggregate it is about."""
    sent_back: Mapping[str, Any] = field(default_factory=dict)
    """What the request repeats of the aggregate's row, though it is not for requests to change."""
    key: ReceiptKey | None = None
    origin: Origin = THIS_MACHINE
    visible: bool = True
    """Whether the answer waits until the read tables show what was done."""
    keep_refusals: bool = True
    """Whether a refusal is what became of the key; if not, it may be asked for again."""
    replayed: bool = False
    """Whether a person sends it again, and wants it decided anew where it was refused."""


class Command:
    """Something that somebody asks the club to do; `NAME` is `register-client` for RegisterClient.

    Commands are frozen dataclasses: the numbers they are about, and the body of the request.
    """

    NAME: ClassVar[str]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.NAME = re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()

    @property
    def has_password(self) -> bool:
        """Whether a plain digest of all of it would give a password away."""
        asked = (getattr(self, one.name) for one in fields(self))  # type: ignore[arg-type]
        return any(isinstance(value, Body) and "password" in value.named() for value in asked)

    def said_in_full(self) -> bytes:
        """What is asked, a password in it included: to be sealed, and not to be kept."""
        return self._told(Body.named)

    def fingerprint(self) -> bytes:
        """A digest of what is asked but for a password, which a digest would give away."""
        said = self._told(lambda body: _without_secrets(body.named()))
        return hashlib.sha256(said).digest()

    def _told(self, facts_of: Callable[[Body], dict[str, Any]]) -> bytes:
        asked = {one.name: getattr(self, one.name) for one in fields(self)}  # type: ignore[arg-type]
        told = {n: facts_of(v) if isinstance(v, Body) else v for n, v in asked.items()}
        return orjson.dumps([self.NAME, told], option=orjson.OPT_SORT_KEYS)


class Cascade(Generic[A]):
    """Of a command: what befalls everybody who refers to a number, its first field."""

    REFERENCE: ClassVar[str]
    """The way in which they refer to it: one of `projections.references`."""
    KIND: ClassVar[type[Any]]
    """What they are."""

    @property
    def number(self) -> int:
        """The number that they refer to."""
        return int(getattr(self, fields(self)[0].name))  # type: ignore[arg-type]


def _without_secrets(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: fact for name, fact in facts.items() if name != "password"}
