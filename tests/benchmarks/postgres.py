"""One Postgres server for both sides of every pair, with the same settings and durability."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL

from infra.servers.embedded_postgres import embedded_postgres

DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


class NotDurable(Exception):
    """This Postgres could lose a commit that it has answered: what it shows would be no measure."""


@contextmanager
def durable_postgres(home: Path) -> Iterator[str]:
    """A private server's URL; refuses to measure one that would lose an acknowledged commit."""
    with embedded_postgres(home / "postgres") as url:
        with psycopg.connect(url) as connection:
            for name, wanted in DURABLE.items():
                row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
                if row != (wanted,):
                    raise NotDurable(name)
        yield url


def create_database(url: str, name: str) -> str:
    """Create an empty database beside the one at `url`; its libpq URL."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return _url(url, name, driver="postgresql").render_as_string(hide_password=False)


def checkpoint(url: str) -> None:
    """Write out what seeding left behind, so that no side pays for it while measured."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")


def analyze(url: str) -> None:
    """Tell the planner how the tables have grown.

    Autovacuum does so within a minute; until then a statement prepared on an empty table goes on
    scanning it whole, which a service that has been up for a day never sees.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ANALYZE")


def sqlalchemy_url(url: str) -> str:
    """The same database for SQLAlchemy with asyncpg."""
    return _url(url, None, driver="postgresql+asyncpg").render_as_string(hide_password=False)


def _url(url: str, database: str | None, *, driver: str) -> URL:
    parts = {key: str(value) for key, value in conninfo_to_dict(url).items()}
    host = parts["host"]
    socket = host.startswith("/")
    return URL.create(
        driver,
        username=parts.get("user"),
        password=parts.get("password"),
        host=None if socket else host,
        port=None if socket else int(parts.get("port", 5432)),
        database=database or parts["dbname"],
        query={"host": host, "port": parts.get("port", "5432")} if socket else {},
    )
