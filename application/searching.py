"""What somebody types to find a person, as terms to search for."""

from __future__ import annotations

import re

from application.ports.queries import Term
from domain.refusals import Invalid
from domain.text import blank, words

LONGEST_SEARCH = 100
"""Characters; a full name with an address is shorter."""

MOST_TERMS = 8

_PHONE = re.compile(r"[+0-9 ()./-]*[0-9][+0-9 ()./-]*")


class NothingToSearchFor(Invalid):
    """A search has 1 to 8 words: of a name, a phone number, a username or an address."""


def terms_of(typed: str) -> list[Term]:
    """The terms of a search, all of which have to be found; a phone number is one.

    Raises NothingToSearchFor.
    """
    if _PHONE.fullmatch(typed):
        # However it is dialled: 0600…, 0034 600… and +34 600… end in the same digits.
        digits = re.sub(r"[^0-9]", "", typed).lstrip("0")
        return [Term(digits or "0", typed.strip())]
    parts = typed.split()
    if not parts or blank(typed) or len(parts) > MOST_TERMS:
        raise NothingToSearchFor(field="q")
    return [Term("".join(words(part, 1)) or None, part) for part in parts]
