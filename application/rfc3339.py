"""Moments as RFC 3339 writes them: all of its forms, and no other."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from domain.aggregate import time_text

_DATE_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(\.\d+)?(?:[Zz]|([+-](?:[01]\d|2[0-3]):[0-5]\d))",
    re.ASCII,
)
"""Its section 5.6; a blank for the `T` is what its note allows."""

EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


def _moment(text: str) -> str:
    found = _DATE_TIME.fullmatch(text)
    if found is None:
        raise PydanticCustomError("datetime_parsing", "Input should be a moment as in RFC 3339")
    day, minute, second, fraction, offset = found.groups()
    leap = second == "60"
    exact = f"{day}T{minute}:{'59' if leap else second}{(fraction or '.0')[:7]}{offset or '+00:00'}"
    try:
        at = datetime.fromisoformat(exact)
    except ValueError:
        raise PydanticCustomError("datetime_parsing", "Input should be a real moment") from None
    if not EARLIEST <= at < LATEST:
        raise PydanticCustomError("datetime_range", "Input should lie between 2000 and 2100")
    if leap:
        at = _after_leap_second(at)
    return time_text(at)


def _after_leap_second(at: datetime) -> datetime:
    """What comes of 23:59:60, which only the end of a month can have; no clock of ours has it."""
    following = at.astimezone(UTC) + timedelta(seconds=1)
    if (following.day, following.hour, following.minute, following.second) != (1, 0, 0, 0):
        raise PydanticCustomError("datetime_parsing", "Input should be a real moment")
    return following


Rfc3339 = Annotated[
    str, AfterValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})
]
"""A moment, kept in the one form of facts; digits beyond microseconds go."""
