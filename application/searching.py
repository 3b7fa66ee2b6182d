"""What somebody types to find a person, as terms to search for."""

from __future__ import annotations

import re

from application.ports.queries import Term
from domain.refusals import Invalid
from domain.text import blank, words

LONGEST_SEARCH = 100
"""Characters; a full name with an address is shorter."""

MOST_TERMS = 8
"""All of them are compared in full, so that more would take long."""

_PHONE = re.compile(r"[+0-9 ()./-]*[0-9][+0-9 ()./-]*")


class NothingToSearchFor(Invalid):
    """A search has 1 to 8 words, one of them a single letter at most."""


def terms_of(typed: str) -> list[Term]:
    """The terms of a search, all of which have to be found; a phone number is one.

    Raises NothingToSearchFor.
    """
    if _PHONE.fullmatch(typed):
        return [Term(_dialled(typed.strip()), typed.strip())]
    parts = typed.split()
    short = sum(len(part) == 1 for part in parts)
    if blank(typed) or not 1 <= len(parts) <= MOST_TERMS or short > 1:
        raise NothingToSearchFor(field="query/q")
    return [Term(next(iter(words(part, 1)), None), part) for part in parts]


def _dialled(phone: str) -> str:
    """The digits in which a number ends however it is dialled: 0600…, 0034 600… and +34 600…."""
    digits = re.sub(r"[^0-9]", "", phone)
    if phone.startswith("+") or digits.startswith("00"):
        abroad = digits.lstrip("0")
        national = _COUNTRY.sub("", abroad).lstrip("0")
        return national if len(national) >= FEWEST_DIGITS else abroad or "0"
    return digits.lstrip("0") or "0"


FEWEST_DIGITS = 3
"""Of a number without its country, to be told from others."""

_COUNTRY = re.compile(
    r"^(?:1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|[2-689][0-9]{2})"
)
"""The calling codes of countries, as ITU-T E.164 has them: one, two or three digits."""
