"""The words by which clients are found: of their names, and of their phone numbers.

A table, not an index on the clients: it needs nothing of the server that not every Postgres has,
and a search for the beginning of a word is one look into its index. A phone number is found by any
of its digits, which each number has in threes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

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
        word text COLLATE "C" NOT NULL, threes smallint[]
    """,
    indexes=(
        "(word, client_id)",
        # What is new in it waits to be put in its place, but never for so much that a search,
        # which reads what waits, takes long.
        "USING gin (threes) WITH (gin_pending_list_limit = 512) WHERE threes IS NOT NULL",
    ),
)
"""Not documented: the words of each field of a client, both numbered.

`threes` are every three digits of a phone number that follow each other, each as a number.
"""

TABLES = (CLIENT_WORDS,)

FIELDS = ("first_name", "last_name", "phone_number")
MOST_WORDS = {"first_name": 6, "last_name": 8}
"""How many words there are of each field, at most, in each of two spellings."""

MOST_NUMBERS = 16
"""How many words a field has, in all spellings."""


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
            yield Put(
                CLIENT_WORDS,
                {
                    "client_id": client_id,
                    "field": FIELDS.index(field),
                    "number": number,
                    "word": word,
                    "threes": None if field in MOST_WORDS else _threes(word),
                },
            )


def _remove(client_id: int, fields: Iterable[str]) -> Operations:
    for field in fields:
        for number in range(MOST_NUMBERS):
            yield Remove(CLIENT_WORDS, (client_id, FIELDS.index(field), number))


def _words_of(field: str, text: str) -> Iterable[str]:
    return words(text, MOST_WORDS[field]) if field in MOST_WORDS else (digits_of(text),)


def digits_of(phone: str) -> str:
    """A phone number without all that it is set out with."""
    return re.sub(r"[^0-9]", "", phone)


def _threes(digits: str) -> list[int]:
    return sorted({int(digits[begin : begin + 3]) for begin in range(len(digits) - 2)})


# Between two bounds, so that no plan made for any term reads an index from its beginning.
FOUND = """
(SELECT w.client_id FROM (SELECT %s::text AS begins) AS t
JOIN client_words AS w ON w.word >= t.begins AND w.word < (t.begins || chr(1114111))
ORDER BY w.word, w.client_id LIMIT %s)
UNION ALL
(SELECT w.client_id FROM (SELECT %s::text AS digits) AS t
JOIN client_words AS w ON t.digits ~ '^[0-9]{3,}$' AND strpos(w.word, t.digits) > 1
    AND w.threes @> (
        SELECT array_agg(DISTINCT substr(t.digits, begin, 3)::smallint)
        FROM generate_series(1, length(t.digits) - 2) AS begin)
ORDER BY w.word, w.client_id LIMIT %s)
UNION ALL
(SELECT given.client_id FROM (SELECT %s::text AS typed) AS t
CROSS JOIN generate_series(1, 12) AS cut
JOIN client_words AS family ON family.field = 1 AND family.word = left(t.typed, cut)
JOIN client_words AS given ON given.client_id = family.client_id AND given.field = 0
    AND given.word ^@ substr(t.typed, cut + 1)
WHERE cut < length(t.typed) AND t.typed ~ '^[\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff]+$'
ORDER BY given.word, given.client_id LIMIT %s)
"""
"""SQL for the clients whom a word finds: by its beginning, or by digits anywhere in a number.

Or by family name and given name written as one, as is the custom in Chinese, Japanese and Korean
letters. It takes the word and how many, three times.
"""


MODEL = ReadModel("client_words", ("client",), TABLES, project)
