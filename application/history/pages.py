"""Pages of a history, and the cursors that lead from one to the next."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from application.ports.queries import UnreadableCursor

LAST = 2**63 - 1
"""No position or version comes after this one."""


@dataclass(frozen=True, slots=True)
class Pages:
    """Which page of a history is wanted."""

    limit: int = 50
    after: str | None = None
    """The cursor that the page before gave."""
    newest_first: bool = False
    type: str | None = None
    first: int = 1
    """The first position that counts."""
    last: int = LAST


class PageOf(NamedTuple):
    """Some entries, each as it is told, and the cursor of the next page."""

    entries: Sequence[dict[str, Any]]
    after: str | None


def write_cursor(of: str, *place: int) -> str:
    """An opaque name of a place in a history; that of another one is none."""
    return base64.urlsafe_b64encode(orjson.dumps([of, *place])).decode().rstrip("=")


def read_cursor(cursor: str, of: str, length: int) -> Iterator[int]:
    """The place; raises UnreadableCursor, also for one of another history."""
    try:
        place = orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", True))
    except (binascii.Error, ValueError) as unreadable:
        raise UnreadableCursor from unreadable
    if not isinstance(place, list) or place[:1] != [of] or len(place) != length + 1:
        raise UnreadableCursor
    if not all(type(number) is int and 0 <= number <= LAST for number in place[1:]):
        raise UnreadableCursor
    return iter(place[1:])
