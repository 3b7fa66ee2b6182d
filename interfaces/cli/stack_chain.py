"""`club stack --chain`: beside the club a second one, and a chain of both."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from infra.bootstrap import make_club
from infra.chain import clubs
from infra.chain.installed import look_for_chain
from infra.chain.store import open_chain
from infra.servers.embedded_postgres import (
    embedded_postgres,
    is_up,
    kept_for_others,
    start_again,
)
from infra.servers.local_kafka import LocalKafka
from infra.servers.local_servers import kept_port
from infra.servers.processes import GiveUp
from infra.settings import Settings
from interfaces.cli.chain_opening import DATABASE, SECOND
from interfaces.cli.minded import Minded, PrivateServer
from interfaces.cli.opening import tell

FIRST = "first"
"""What the club that stands beside the second is called in the chain."""

ITS_OWN = {"CLUB_REDIS_URL": "", "CLUB_PUBLIC_URL": "", "CLUB_SEALS_DIR": ""}
"""What the second club does not share with the first, whose users have the same numbers."""

Environment = Mapping[str, str]


class Beside(NamedTuple):
    """What runs beside the club's own stack."""

    parts: Sequence[tuple[str, Sequence[str], Environment]]
    """Their names and commands, and under which settings."""
    servers: Sequence[Minded]
    held: Sequence[int]
    port: int
    """Where the second club is open."""
    chain_port: int
    """Where the chain is read."""
    kafka: Environment
    """The settings under which another club's `club publish` finds the chain's Kafka."""

    def told(self, found: Settings) -> Iterator[str]:
        """What whoever sits at the machine needs to know, a line each."""
        kafka = " ".join(f"{name}={value}" for name, value in self.kafka.items())
        second = f"CLUB_HOME={found.home / SECOND} CLUB_HTTP_PORT={self.port}"
        if found.database_url is not None:
            second += " CLUB_DATABASE_URL="  # that is the first club's
        yield f"The second club: http://127.0.0.1:{self.port}"
        yield f"  its commands:  {second} club …"
        yield f"The chain:       http://127.0.0.1:{self.chain_port}/docs"
        yield "  its readers:   club chain users add NAME --role ADMIN"
        yield "  how it is:     club stream status"
        yield "Another club joins it: in its own folder, with what publishes it,"
        yield f"  {kafka} club publish"
        yield "and here, with its own CLUB_DATABASE_URL, club chain clubs add NAME LEDGER_URL"


def open_beside(
    found: Settings, environment: Environment, opened: ExitStack, mark: int, give_up: GiveUp
) -> Beside:
    """Make the second club and the chain, where there are none, and start what they need."""
    look_for_chain()
    home = found.home.resolve() / SECOND
    url = opened.enter_context(embedded_postgres(home))
    held = opened.enter_context(kept_for_others(home))
    second = found.model_copy(update={"home": home, "database_url": url})
    asyncio.run(make_club(second, tell))
    give_up()
    servers: list[Minded] = [
        PrivateServer("the second postgres", partial(is_up, home), partial(start_again, home))
    ]
    of_kafka = {"CLUB_KAFKA_URL": found.kafka_url or ""}
    if found.kafka_url is None:
        kafka = LocalKafka(found.home.resolve() / "kafka", [mark])
        opened.callback(kafka.stop)
        kafka.start(give_up)
        servers.append(PrivateServer("kafka", kafka.is_up, partial(_start_again, kafka, give_up)))
        of_kafka = {"CLUB_KAFKA_URL": kafka.url, "CLUB_KAFKA_IDEMPOTENCE": "false"}
    database = _chain_database(found, url)
    of_chain = {**environment, **of_kafka, "CLUB_CHAIN_DATABASE_URL": database}
    first = environment.get("CLUB_DATABASE_URL", found.database_url or "")
    asyncio.run(join(database, {FIRST: first, SECOND: url}))
    port, chain_port = kept_port(home), kept_port(found.home.resolve() / "chain")
    of_second = {**of_chain, **ITS_OWN, "CLUB_HOME": str(home), "CLUB_DATABASE_URL": url}
    of_second["CLUB_HTTP_PORT"] = str(port)
    of_readers = {**of_chain, "CLUB_PUBLIC_URL": "", "CLUB_HTTP_PORT": str(chain_port)}
    parts = [*_commands(of_chain, of_second, of_readers)]
    return Beside(parts, servers, [held], port, chain_port, of_kafka)


def _commands(
    of_chain: Environment, of_second: Environment, of_readers: Environment
) -> Iterator[tuple[str, Sequence[str], Environment]]:
    yield "publisher", ("publish",), of_chain
    yield "second-club", ("run", "--no-bot", "--no-amqp"), of_second
    yield "second-publisher", ("publish",), of_second
    yield "stream-1", ("stream",), of_chain
    yield "stream-2", ("stream",), of_chain
    yield "chain-api", ("run", "--chain"), of_readers


def _chain_database(found: Settings, second: str) -> str:
    """The chain's own database: beside that of the second club, unless another is set."""
    if found.chain_database_url is not None:
        return found.chain_database_url
    with psycopg.connect(second, autocommit=True) as connection:
        there = "SELECT FROM pg_database WHERE datname = %s"
        if connection.execute(there, [DATABASE]).fetchone() is None:
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(DATABASE)))
    return make_conninfo(second, dbname=DATABASE)


async def join(chain: str, urls: Mapping[str, str]) -> None:
    """Have these clubs in the chain, at these addresses, whatever it calls them."""
    async with open_chain(chain, building=True) as store:
        for name, url in urls.items():
            try:
                await clubs.add(store, name, url)
            except clubs.LedgerTaken as there:
                await clubs.move(store, there.name, url)


def _start_again(kafka: LocalKafka, give_up: GiveUp) -> None:
    kafka.stop()  # whatever of it is left
    kafka.start(give_up)
