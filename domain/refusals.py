"""What the club says no with.

A refusal is a class: its docstring is the message (with the facts of the case filled in), its
`code` is a stable name, and its base says which kind of no it is. Which HTTP status or AMQP
answer a kind becomes is for `interfaces` to say.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar


class Refusal(Exception):
    """The club refuses this."""

    code: ClassVar[str] = "refused"
    FIELD: ClassVar[str | None] = None
    """The part of a request that it is always about, where there is one."""

    def __init_subclass__(cls) -> None:
        cls.code = re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()

    @classmethod
    def kinds(cls) -> Iterator[type[Refusal]]:
        """This refusal, and every more special one."""
        yield cls
        for kind in cls.__subclasses__():
            yield from kind.kinds()

    def __init__(self, *, field: str | None = None, **case: object) -> None:
        """`field` names the part of the request that is refused, where there is one."""
        self.field = field or self.FIELD
        self.case = case
        self.detail = inspect.cleandoc(type(self).__doc__ or "").format(**case)
        super().__init__(self.detail)

    def __reduce__(self) -> tuple[Any, ...]:
        """So that one process can tell another of it."""
        return partial(type(self), field=self.field, **self.case), ()


class NotFound(Refusal):
    """There is no {what} {id}."""


class Conflict(Refusal):
    """What holds now does not allow this."""


class Forbidden(Refusal):
    """Your role does not allow this."""


class Unauthenticated(Refusal):
    """You have not shown who you are."""


class PreconditionFailed(Refusal):
    """It has changed: you named version {expected}, it is at version {actual}."""


class Invalid(Refusal):
    """The request does not make sense."""


class UnknownReference(Invalid):
    """There is no {what} {id} to refer to."""


class Busy(Refusal):
    """The club cannot take this just now; please try again."""
