"""Usernames for people who name none: made of what they are called, in the letters of usernames."""

from __future__ import annotations

import re
from collections.abc import Iterator

from domain.text import folded, plain

MOST_NAMESAKES = 9
"""How many of one name get a small number behind it."""

LONGEST = 38
"""Characters that leave room for a number behind them."""

GERMAN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
"""Letters that are more than a plain letter with a mark, to those who have them."""


def proposals(first_name: str, last_name: str, email: str, number: int) -> Iterator[str]:
    """Usernames for the user of this number, the best first.

    Of names that have no letters of usernames in them, the address says something; and if that
    does not either, the person is a member with a number.
    """
    named = ".".join(filter(None, map(_spelled, (first_name, last_name))))
    name = named or _spelled(email.partition("@")[0].partition("+")[0]) or "member"
    name = name[:LONGEST].rstrip(".-")
    if name != "member":
        yield name
        for namesake in range(2, MOST_NAMESAKES + 1):
            yield f"{name}{namesake}"
    yield f"{name}.{number}" if name != "member" else f"{name}{number}"


def _spelled(name: str) -> str:
    """The name in the letters of usernames; nothing where it cannot be written in them."""
    spelled = plain(folded(name).translate(GERMAN))
    if any(c.isalpha() and not c.isascii() for c in spelled):
        return ""
    return "-".join(re.findall("[a-z0-9]+", spelled.replace("'", "").replace("\u2019", "")))
