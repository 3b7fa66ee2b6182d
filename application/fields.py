"""The forms that facts have in a request: what fits the documented columns, and nothing else.

Decimals, days and moments are checked and then kept as text in one canonical form, the form in
which the log and the answers carry them.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, TypeVar

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

from application.rfc3339 import Rfc3339
from domain.text import MOST_MARKS, UNSEEN, blank, composed, folded, pile, unseen

LARGEST_ID = 2**31 - 1
"""The last number of a Postgres SERIAL."""

LINE_BREAKS = "\t\n\r"
"""The control characters that a text of several lines may have."""

LONGEST_TEXT = 20_000
"""Characters of a description."""

LONGEST_ADDRESS = 100
"""Characters of an email address."""

LARGEST_PART = 4
"""Into how many characters, at most, a letter may be taken apart."""

PLAIN_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")
"""No exponents, blanks, underscores or digits of other scripts."""


T = TypeVar("T")
SentBack = Annotated[T | None, Field(json_schema_extra={"readOnly": True})]
"""Of a complete update: what a GET answers and no request changes, taken where it is as it is."""


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
                    },
                ],
                # No `multipleOf`: 19.99 is none of 0.01 to those who reckon in binary fractions.
                "description": f"at most {places} decimals",
                "examples": ["72.50"],
            }
        ),
    ]


def _bare(text: object) -> object:
    """Refuse a name or blanks around an address, which the library takes off without a word."""
    if not isinstance(text, str):
        return text
    if len(text) > LONGEST_ADDRESS * LARGEST_PART:
        raise PydanticCustomError("email_length", "Input is too long for an address")
    if set(text) & set("<>") or " " in folded(f".{text}."):
        raise PydanticCustomError(
            "email_bare", "Input should be an address alone, without a name or blanks"
        )
    return text


def _composed(text: str, longest: int) -> str:
    """The text in NFC, of which its length is counted."""
    if text.isascii():
        return text
    if len(text) > longest * LARGEST_PART:
        return text  # it is too long in any form
    if pile(text):
        raise PydanticCustomError(
            "string_marks",
            "Input should have at most {most} marks on a letter",
            {"most": MOST_MARKS},
        )
    return composed(text)


def _seen(text: str, allowed: str = "") -> str:
    """Refuse control characters, and what cannot be seen or turns text around."""
    control = next((c for c in text if c < " " and c not in allowed), None)
    hidden = control or unseen(text)
    if hidden is not None:
        raise PydanticCustomError(
            "string_unseen",
            "Input should have no control characters, nor any that cannot be seen or turn text "
            "around: it has {found}",
            {"found": f"U+{ord(hidden):04X}"},
        )
    return text


def _line(text: str) -> str:
    if blank(text):
        raise PydanticCustomError("string_blank", "Input should show something")
    return _seen(text)


def _of_length(longest: int) -> tuple[StringConstraints, BeforeValidator]:
    """What is sent becomes NFC, and then has at most so many characters."""

    def compose(text: object) -> object:
        return _composed(text, longest) if isinstance(text, str) else text

    return StringConstraints(max_length=longest), BeforeValidator(compose)


def _one_line(longest: int) -> Any:
    """A name or a title: not blank, and all of it to be seen."""
    hidden = rf"\x00-\x1f{UNSEEN}"
    pattern = rf"^[^{hidden}]*[^\s{hidden}][^{hidden}]*$"
    schema = {"type": "string", "maxLength": longest, "pattern": pattern}
    return Annotated[str, *_of_length(longest), AfterValidator(_line), WithJsonSchema(schema)]


def _lines(longest: int) -> Any:
    """A text of several lines, or of none."""
    pattern = rf"^[^\x00-\x08\x0b\x0c\x0e-\x1f{UNSEEN}]*$"
    schema = {"type": "string", "maxLength": longest, "pattern": pattern}
    seen = AfterValidator(lambda text: _seen(text, LINE_BREAKS))
    return Annotated[str, *_of_length(longest), seen, WithJsonSchema(schema)]


def _written(pattern: str, said: str, longest: int, **schema: Any) -> Any:
    """A text in one form, and what is said to people where it is in another."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise PydanticCustomError("string_form", "Input should be {said}", {"said": said})
        return text

    shown = {"type": "string", "maxLength": longest, "pattern": pattern, **schema}
    constraints = StringConstraints(max_length=longest)
    return Annotated[str, constraints, AfterValidator(check), WithJsonSchema(shown)]


def _day(text: str) -> str:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise PydanticCustomError("date_parsing", "Input should be a day, written as 1990-04-01")
    try:
        date.fromisoformat(text)
    except ValueError:
        raise PydanticCustomError("date_parsing", "Input should be a real day") from None
    if not re.match(r"(19|20|21)[0-9]{2}", text):
        raise PydanticCustomError("date_range", "Input should be a day between 1900 and 2199")
    return text


Id = Annotated[int, Strict(), Field(ge=1, le=LARGEST_ID)]
Count = Annotated[int, Strict()]
Flag = Annotated[bool, Strict()]
Text = _lines(LONGEST_TEXT)
Line50 = _one_line(50)
Line80 = _one_line(80)
Line200 = _one_line(200)
Username = _written(
    r"^[A-Za-z0-9_.@+-]{1,50}$",
    "1 to 50 letters from a to z, digits and any of _ . @ + -, without blanks",
    50,
)
Email = Annotated[
    EmailStr,
    BeforeValidator(_bare),
    StringConstraints(max_length=LONGEST_ADDRESS),
    AfterValidator(_seen),
]
LONGEST_PASSWORD = 128
"""Characters of a password, in the form in which it is hashed."""

Password = Annotated[str, StringConstraints(min_length=8), *_of_length(LONGEST_PASSWORD)]
Phone = _written(
    r"^\+?[0-9 ().\-]*[0-9][0-9 ().\-]*$",
    "a phone number: digits, set out with blanks and any of ( ) . -, after a + or not",
    20,
)
Day = Annotated[
    str,
    AfterValidator(_day),
    WithJsonSchema({"type": "string", "format": "date", "examples": ["1990-04-01"]}),
]
TimeOfDay = _written(
    r"^([01][0-9]|2[0-3]):[0-5][0-9]$", "a time of day from 00:00 to 23:59, as 08:30", 5
)
"""What clocks show, to the minute."""
Moment = Rfc3339
Weight = _numeric(5, 2)
"""NUMERIC(5, 2): kilograms, 0 to 999.99."""
BodyMeasure = _numeric(5, 2, least=Decimal("0.01"))
"""NUMERIC(5, 2): a person's kilograms or centimetres, more than 0."""
Price = _numeric(12, 2)
"""NUMERIC: money, 0 to 9999999999.99."""
