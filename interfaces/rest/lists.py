"""What every list takes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from application.catalogue import LISTS
from application.fields import LARGEST_ID
from domain.text import composed

Number = Annotated[int, Field(ge=1, le=LARGEST_ID)]
"""A number in a query, where everything is text."""

PathNumber = Annotated[int, Path(ge=1, le=LARGEST_ID)]
"""A number in a path."""


class PageQuery(BaseModel):
    """Which page; each list adds the columns to filter by."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=50, ge=1, le=500, description="the most rows to answer")
    after: str | None = Field(
        default=None, max_length=2000, description="from the Link of the page before"
    )
    total: bool = Field(default=False, description="count all rows, in X-Total-Count")

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
