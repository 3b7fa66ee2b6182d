"""The forms that facts have in a request: what fits the documented columns, and nothing else.

Decimals, days and moments are checked and then kept as text in one canonical form, the form in
which the log and the answers carry them.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    EmailStr,
    Field,
    Strict,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from domain.aggregate import time_text

LARGEST_ID = 2**31 - 1
"""The last number of a Postgres SERIAL."""

ONE_LINE = r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"
"""No control characters, and not blank."""

PLAIN_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")
"""No exponents, blanks, underscores or digits of other scripts."""


class Body(BaseModel):
    """What a request carries; a name that is not documented is refused, not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    def __init_subclass__(cls, *, partial: bool = False, **more: Any) -> None:
        super().__init_subclass__(**more)

    @classmethod
    def __pydantic_init_subclass__(cls, *, partial: bool = False, **_: Any) -> None:
        """With `partial`, every field may be left out (and none of them emptied): a PATCH."""
        if partial:
            for field in cls.model_fields.values():
                field.default = None
            cls.model_rebuild(force=True)

    def facts(self) -> dict[str, Any]:
        """Every field, defaults included, in the form of facts."""
        return self.model_dump(mode="json")

    def replacement(self) -> dict[str, Any]:
        """The facts of a complete update."""
        return self.facts()

    def named(self) -> dict[str, Any]:
        """Only the fields that the request named, in the form of facts."""
        return self.model_dump(mode="json", exclude_unset=True)


def _decimal(value: object, *, least: Decimal, most: Decimal, places: int) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise PydanticCustomError("decimal_type", "Input should be a decimal number")
    try:
        if isinstance(value, str) and not PLAIN_DECIMAL.fullmatch(value):
            raise InvalidOperation
        number = Decimal(str(value))
        rounded = number.quantize(Decimal(1).scaleb(-places))
        in_range = least <= number <= most  # a NaN is not to be compared
    except InvalidOperation:
        raise PydanticCustomError("decimal_parsing", "Input should be a decimal number") from None
    if not in_range:
        raise PydanticCustomError(
            "decimal_range",
            "Input should be between {least} and {most}",
            {"least": str(least), "most": str(most)},
        )
    if rounded != number:
        raise PydanticCustomError(
            "decimal_places", "Input should have at most {places} decimals", {"places": places}
        )
    return f"{abs(rounded):f}"


def _numeric(digits: int, places: int, least: Decimal = Decimal(0)) -> Any:
    """A decimal of at most so many digits, as text with exactly `places` decimals."""
    whole = digits - places
    most = Decimal(10) ** whole - Decimal(1).scaleb(-places)
    not_zero = r"(?!0+(\.0+)?$)" if least else ""
    pattern = rf"^{not_zero}[0-9]{{1,{whole}}}(\.[0-9]{{1,{places}}})?$"
    return Annotated[
        str,
        BeforeValidator(lambda value: _decimal(value, least=least, most=most, places=places)),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "string", "pattern": pattern},
                    {
                        "type": "number",
                        "minimum": float(least),
                        "maximum": float(most),
                        "multipleOf": 0.01,
                    },
                ],
                "examples": ["72.50"],
            }
        ),
    ]


def _bare(text: object) -> object:
    """Refuse blanks around an address, which the library takes off without a word."""
    if isinstance(text, str) and text != text.strip():
        raise PydanticCustomError("string_blanks", "Input should have no blanks around it")
    return text


def _day(text: str) -> str:
    try:
        date.fromisoformat(text)
    except ValueError:
        raise PydanticCustomError("date_parsing", "Input should be a real day") from None
    return text


def _moment(text: str) -> str:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise PydanticCustomError("datetime_parsing", "Input should be a real moment") from None
    if at.tzinfo is None:
        raise PydanticCustomError("timezone_aware", "Input should have a time zone")
    if not datetime(2000, 1, 1, tzinfo=UTC) <= at < datetime(2100, 1, 1, tzinfo=UTC):
        raise PydanticCustomError("datetime_range", "Input should lie between 2000 and 2100")
    return time_text(at)


Id = Annotated[int, Strict(), Field(ge=1, le=LARGEST_ID)]
Count = Annotated[int, Strict()]
Flag = Annotated[bool, Strict()]
Text = Annotated[str, StringConstraints(max_length=20_000, pattern=r"^[^\x00]*$")]
Line50 = Annotated[str, StringConstraints(max_length=50, pattern=ONE_LINE)]
Line80 = Annotated[str, StringConstraints(max_length=80, pattern=ONE_LINE)]
Line200 = Annotated[str, StringConstraints(max_length=200, pattern=ONE_LINE)]
Username = Annotated[str, StringConstraints(max_length=50, pattern=r"^[A-Za-z0-9_.@+-]{1,50}$")]
Email = Annotated[EmailStr, BeforeValidator(_bare), StringConstraints(max_length=100)]
Password = Annotated[str, StringConstraints(min_length=8, max_length=128)]
Phone = Annotated[
    str, StringConstraints(max_length=20, pattern=r"^\+?[0-9 ().\-]*[0-9][0-9 ().\-]*$")
]
Day = Annotated[
    str,
    StringConstraints(pattern=r"^(19|20|21)[0-9]{2}-[0-9]{2}-[0-9]{2}$"),
    AfterValidator(_day),
    WithJsonSchema({"type": "string", "format": "date", "examples": ["1990-04-01"]}),
]
Moment = Annotated[
    str,
    AfterValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Weight = _numeric(5, 2)
"""NUMERIC(5, 2): kilograms, 0 to 999.99."""
BodyMeasure = _numeric(5, 2, least=Decimal("0.01"))
"""NUMERIC(5, 2): a person's kilograms or centimetres, more than 0."""
Price = _numeric(12, 2)
"""NUMERIC: money, 0 to 9999999999.99."""
