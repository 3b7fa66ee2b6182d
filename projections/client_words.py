"""The words by which clients are found: of their names, and the ends of their phone numbers.

A table, not an index on the clients: it needs nothing of the server that not every Postgres has,
and a search for the beginning of a word is one look into its index.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from domain.clients import Deleted, DetailsChanged, Registered
from domain.recorded import Recorded
from domain.text import words
from projections.engine.model import ReadModel
from projections.engine.table import Operations, Put, Remove, Table

CLIENT_WORDS = Table(
    "client_words",
    key=("client_id", "field", "number"),
    columns="""
        client_id integer NOT NULL, field smallint NOT NULL, number smallint NOT NULL,
        word text COLLATE "C" NOT NULL
    """,
    indexes=("(word, client_id)",),
)
"""Not documented: the words of each field of a client, both numbered."""

TABLES = (CLIENT_WORDS,)

FIELDS = ("first_name", "last_name", "phone_number")
MOST_WORDS = {"first_name": 6, "last_name": 8}
"""How many words there are of each field, at most, in each of two spellings."""

MOST_NUMBERS = 18
"""How many words a field has: as many as ends of a number of 20 digits."""

FEWEST_DIGITS = 3
"""Of an end of a phone number that is a word: who types fewer means its beginning."""


def project(recorded: Recorded) -> Operations:
    """What an event of a client means for the table."""
    event = recorded.event
    match event:
        case Registered():
            facts = {field: getattr(event, field) for field in FIELDS}
            yield from _put(event.number, facts)
        case DetailsChanged(changes=changes):
            named = {field: changes[field] for field in FIELDS if field in changes}
            yield from _remove(event.number, named)
            yield from _put(event.number, named)
        case Deleted():
            yield from _remove(event.number, FIELDS)
        case _:
            return


def _put(client_id: int, facts: Mapping[str, str]) -> Operations:
    for field, text in facts.items():
        for number, word in enumerate(_words_of(field, text)):
            key = {"client_id": client_id, "field": FIELDS.index(field), "number": number}
            yield Put(CLIENT_WORDS, {**key, "word": word})


def _remove(client_id: int, fields: Iterable[str]) -> Operations:
    for field in fields:
        for number in range(MOST_NUMBERS):
            yield Remove(CLIENT_WORDS, (client_id, FIELDS.index(field), number))


def _words_of(field: str, text: str) -> Iterator[str]:
    if field in MOST_WORDS:
        yield from words(text, MOST_WORDS[field])
        return
    digits = re.sub(r"[^0-9]", "", text)
    for begin in range(max(1, len(digits) - FEWEST_DIGITS + 1)):
        yield digits[begin:]


MODEL = ReadModel("client_words", ("client",), TABLES, project)
