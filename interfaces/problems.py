"""Every no of the club as an RFC 9457 problem document: the one place that gives them numbers.

REST answers with them, and replies over RabbitMQ carry them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from application.limits import TooManyAtOnce, TooManyAttempts
from application.ports.chain import ChainUnavailable
from application.ports.ledger import (
    LedgerUnavailable,
    OutcomeUnknown,
    Overloaded,
    TookTooLong,
    UnreadableHistory,
)
from application.ports.queries import UnreadableCursor
from application.ports.signing_in import (
    ChannelUnavailable,
    InvalidToken,
    NoCodeChannel,
    StoreUnavailable,
)
from domain.refusals import (
    Busy,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
    Refusal,
    Unauthenticated,
)

MEDIA_TYPE = "application/problem+json"

TYPES = "/problems/"
"""Below this path every type of problem is explained."""

STATUS: Mapping[type[Exception], int] = {
    NotFound: 404,
    Conflict: 409,
    Forbidden: 403,
    PreconditionFailed: 412,
    Invalid: 422,
    Busy: 503,
    InvalidToken: 401,
    Unauthenticated: 401,
    TooManyAttempts: 429,
    TooManyAtOnce: 429,
    StoreUnavailable: 503,
    NoCodeChannel: 503,
    ChannelUnavailable: 503,
    OutcomeUnknown: 504,
    TookTooLong: 503,
    ChainUnavailable: 503,
    LedgerUnavailable: 503,
    Overloaded: 503,
    UnreadableHistory: 503,
    UnreadableCursor: 422,
}
"""The status of each kind of no; the first that fits counts."""


def document(
    status: int,
    code: str,
    detail: str,
    instance: str,
    errors: list[dict[str, str]] | None = None,
    types: str = TYPES,
) -> dict[str, Any]:
    """The problem document; `instance` is what the request was about."""
    said: dict[str, Any] = {
        "type": types + code,
        "title": title_of(code),
        "status": status,
        "detail": detail,
        "instance": instance,
    }
    return said | ({"errors": errors} if errors else {})


def of_refusal(refusal: Refusal, instance: str) -> dict[str, Any]:
    """The problem document of a refusal, with the field it is about."""
    status = status_of(type(refusal))
    return document(status, refusal.code, refusal.detail, instance, errors_of(refusal))


def errors_of(refusal: Refusal) -> list[dict[str, str]] | None:
    """The field that a refusal is about, where it is about one."""
    if not refusal.field:
        return None
    return [{"detail": refusal.detail, "pointer": f"#/{refusal.field}"}]


IN_JSON = {
    "model_type": "Input should be a JSON object",
    "model_attributes_type": "Input should be a JSON object",
    "dict_type": "Input should be a JSON object",
    "list_type": "Input should be a JSON array",
}
"""What pydantic says in terms of Python, by the type of the error."""


def said_of(error: Mapping[str, Any]) -> str:
    """What is wrong with a value, in terms of what was sent."""
    if error["type"] == "string_pattern_mismatch":
        return _form_of(error["ctx"]["pattern"])
    return IN_JSON.get(error["type"]) or str(error["msg"])


def _form_of(pattern: str) -> str:
    """What a pattern demands, in words; the documents of the interfaces have it."""
    columns = re.fullmatch(r"\^-\?\(([a-z_|]+)\)\$", pattern)
    if columns is None:
        return "Input should have the form that is documented"
    return (
        f"Input should be one of {', '.join(columns[1].split('|'))}, the greatest first after a -"
    )


def pointer(location: Sequence[int | str]) -> str:
    """Where something is in a body, as a JSON pointer (RFC 6901)."""
    return "#" + "".join("/" + str(p).replace("~", "~0").replace("/", "~1") for p in location)


def code_of(kind: type[Exception]) -> str:
    """The permanent name of a kind of no."""
    if issubclass(kind, Refusal):
        return kind.code
    # What is wrong with a token is said in words: whoever holds it does the same about each.
    return kebab((InvalidToken if issubclass(kind, InvalidToken) else kind).__name__)


def title_of(code: str) -> str:
    """The name of a kind of no, for people."""
    return code.replace("-", " ").capitalize()


def status_of(kind: type[Exception]) -> int:
    """The status of a kind of no."""
    return next(status for base, status in STATUS.items() if issubclass(kind, base))


def kebab(name: str) -> str:
    """`NotFound` and `Not found` as `not-found`."""
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower())
