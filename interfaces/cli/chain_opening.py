"""How commands find the chain: in the settings, else that of a stack in the same home."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg.conninfo import make_conninfo

from infra.chain.reading import NoChainDatabase
from infra.servers.embedded_postgres import embedded_postgres, has_database
from infra.settings import Settings
from interfaces.cli.opening import in_plain_words, settings

SECOND = "second"
"""What a stack's second club is called, and its folder."""

DATABASE = "chain"
"""The chain's own database, in the second club's Postgres."""


@contextmanager
def chain_settings() -> Iterator[Settings]:
    """The settings, with a chain's database; faults within end the program with a sentence.

    Where none is set, it is that of a stack in this home, whose Postgres is held meanwhile.
    """
    found = settings()
    home = found.home.resolve() / SECOND
    with in_plain_words():
        if found.chain_database_url is not None:
            yield found
        elif has_database(home):
            with embedded_postgres(home) as url:
                chain = make_conninfo(url, dbname=DATABASE)
                yield found.model_copy(update={"chain_database_url": chain})
        else:
            raise NoChainDatabase
