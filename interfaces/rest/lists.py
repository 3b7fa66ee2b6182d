"""What every list takes."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError

from application.catalogue import LISTS
from application.fields import LARGEST_ID
from application.rfc3339 import Rfc3339
from domain.aggregate import text_time
from domain.text import composed

_DIGITS = re.compile(r"-?[0-9]+")


def _digits(text: object) -> object:
    """Refuse `1_0`, `+1`, ` 1` and digits of other scripts, which would be read as numbers."""
    if isinstance(text, str) and not _DIGITS.fullmatch(text):
        raise PydanticCustomError("int_parsing", "Input should be a whole number, in digits alone")
    return text


def _true_or_false(text: object) -> object:
    """Refuse `yes`, `on`, `1` and whatever else would be read as one of them."""
    if isinstance(text, str) and text not in {"true", "false"}:
        raise PydanticCustomError("bool_parsing", "Input should be true or false")
    return text


Digits = BeforeValidator(_digits)

Number = Annotated[int, Digits, Field(ge=1, le=LARGEST_ID)]
"""A number in a query, where everything is text."""

PathNumber = Annotated[int, Digits, Path(ge=1, le=LARGEST_ID)]
"""A number in a path."""

Truth = Annotated[bool, BeforeValidator(_true_or_false)]
"""A yes or no in a query."""


def _position_or_moment(given: object) -> object:
    """A position of the ledger is a whole number, a moment is as RFC 3339 has it."""
    if isinstance(given, str) and re.fullmatch(r"[0-9]{1,18}", given):
        return int(given)
    if isinstance(given, str) and re.search(r" [0-9]{2}:[0-9]{2}$", given):
        # In a query, a bare `+` is a blank.
        raise PydanticCustomError(
            "datetime_parsing", "Input should have the + of its offset written %2B"
        )
    return text_time(_MOMENT.validate_python(given)) if isinstance(given, str) else given


_MOMENT: TypeAdapter[str] = TypeAdapter(Rfc3339)

AsOf = Annotated[
    int | datetime | None,
    BeforeValidator(_position_or_moment),
    Query(description="as it was: at a position of the ledger, or at a moment (RFC 3339)"),
]
"""A question about the past; none is about the present."""


def not_before(first: str) -> Any:
    """The end of a range of days that begins with another parameter."""

    def check(last: str | None, others: ValidationInfo) -> str | None:
        begins = others.data.get(first)
        if last is not None and begins is not None and last < begins:
            raise PydanticCustomError(
                "range", "Input should not be before {first}", {"first": first}
            )
        return last

    return AfterValidator(check)


class PageQuery(BaseModel):
    """Which page; each list adds the columns to filter by."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Digits] = Field(
        default=50, ge=1, le=500, description="the most rows to answer"
    )
    after: str | None = Field(
        default=None, max_length=2000, description="from the Link of the page before"
    )
    total: Truth = Field(default=False, description="count all rows, in X-Total-Count")

    def order(self) -> str:
        """The column to sort by; none for the order of the key."""
        return ""

    def filters(self) -> dict[str, Any]:
        """The columns to filter by, with their values."""
        filters: dict[str, Any] = self.model_dump(
            mode="json", exclude={"limit", "after", "sort", "total"}, exclude_none=True
        )
        return {
            name: composed(value) if isinstance(value, str) else value
            for name, value in filters.items()
        }


class ListQuery(PageQuery):
    """Which page, in which order."""

    sort: str | None = None

    def order(self) -> str:
        return self.sort or ""


def words(longest: int) -> Any:
    """A text to filter by, of at most so many characters."""
    return Field(default=None, max_length=longest, pattern=r"^[^\x00]*$")


def sorting(name: str) -> Any:
    """The field `sort` of a list: one of its columns, the greatest first after a `-`."""
    names = "|".join(LISTS[name].columns)
    return Field(
        default=None, pattern=f"^-?({names})$", description="a column; `-` for the greatest first"
    )
