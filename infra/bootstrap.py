"""The one place that wires the club: a context manager that closes what it opened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import psycopg
import structlog

from application.bus import Bus
from application.housekeeping import LATER, expire_what_is_due
from application.ports.read_side import ReadSide
from application.ports.services import Services
from application.ports.signing_in import CodeChannel
from application.sign_in import SignIn
from infra.following.elsewhere import follow
from infra.following.projecting import RETRY, Tail
from infra.following.read_side import PostgresReadSide
from infra.following.rebuilding import Progress, Rebuilt, prepare, rebuild
from infra.following.watch import Watch
from infra.health import Health, examine
from infra.ledger.ledger import PostgresLedger
from infra.ledger.postgres import Postgres
from infra.ledger.schema import create_ledger
from infra.metrics import Metrics
from infra.rabbitmq import RabbitMQ, open_rabbitmq
from infra.secrets.callers import Callers
from infra.secrets.codes import open_codes
from infra.secrets.keys import Keys
from infra.secrets.passwords import Argon2Hasher
from infra.secrets.signatures import ProviderSecrets, StandardWebhooks
from infra.secrets.tokens import SignedTokens
from infra.servers.embedded_postgres import embedded_postgres, start_again
from infra.servers.postgres_server import EmbeddedPostgresError
from infra.settings import Settings
from infra.short_lived import Marks, Store, open_store
from projections.catalogue import tables
from projections.engine.reads import Reads
from projections.views import LISTINGS, LOOKUPS

if TYPE_CHECKING:
    from aiogram import Bot

logger = structlog.get_logger(__name__)


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """This moment, in UTC."""
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Club:
    """The running club, as interfaces see it."""

    settings: Settings
    bus: Bus
    services: Services
    reads: Reads
    tokens: SignedTokens
    keys: Keys
    store: Store
    provider_secrets: ProviderSecrets
    signatures: StandardWebhooks
    sign_in: SignIn
    callers: Callers
    metrics: Metrics
    ledger: PostgresLedger
    postgres: Postgres
    tail: Tail
    watch: Watch
    bot: Bot | None = None
    rabbitmq: RabbitMQ | None = None

    @property
    def read_side(self) -> ReadSide:
        """How far the read tables are, and who refers to what."""
        return self.services.read_side

    @property
    def timezone(self) -> str:
        """What "a day" means in reports."""
        return self.settings.timezone

    async def health(self) -> Health:
        """How every part of the club is doing."""
        return await examine(
            self.postgres,
            self.tail,
            self.watch,
            self.metrics,
            self.store,
            bot=self.bot is not None,
            rabbitmq=self.rabbitmq,
        )

    async def rebuild(self, progress: Progress) -> Rebuilt:
        """Build all read tables again from the ledger, and swap them in."""
        shared = self.settings.shared_memberships
        return await rebuild(self.postgres, tables(shared_memberships=shared), progress)


@asynccontextmanager
async def open_club(
    settings: Settings, *, projecting: bool = True, housekeeping: bool = False
) -> AsyncIterator[Club]:
    """The club, with its database prepared; everything is closed at the end.

    A part that dies of a fault of ours takes the whole club with it, rather than leave callers
    without an answer.

    `projecting` builds the read tables in this process, not only in others; `housekeeping` does
    what time does.
    """
    async with AsyncExitStack() as stack:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        postgres, ledger_id = await _database(settings, stack)
        store = await stack.enter_async_context(open_store(settings.redis_url, ledger_id))
        rabbitmq = await stack.enter_async_context(open_rabbitmq(settings.amqp_url))
        channel, bot = await stack.enter_async_context(open_codes(settings))
        club = replace(_wire(settings, postgres, store, channel), bot=bot, rabbitmq=rabbitmq)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(club.ledger.run(), name="ledger-writer")
            following = club.tail.run() if projecting else follow(postgres, club.watch)
            running = [tasks.create_task(following, name="tail")]
            if settings.database_url is None:
                running.append(tasks.create_task(_keep_up(club), name="embedded-postgres"))
            if housekeeping:
                running.append(tasks.create_task(_keep_house(club), name="housekeeping"))
            try:
                yield club
            finally:
                for task in running:
                    task.cancel()
                club.ledger.close()


async def _database(settings: Settings, stack: AsyncExitStack) -> tuple[Postgres, str]:
    """The database with everything in it, and what its ledger is known by."""
    database = (
        embedded_postgres(settings.home)
        if settings.database_url is None
        else nullcontext(settings.database_url)
    )
    postgres = Postgres(stack.enter_context(database))
    async with await postgres.connect(autocommit=True) as connection:
        ledger_id = await create_ledger(connection)
    await prepare(postgres, tables(shared_memberships=settings.shared_memberships))
    await stack.enter_async_context(postgres.open())
    return postgres, ledger_id


def _wire(settings: Settings, postgres: Postgres, store: Store, channel: CodeChannel) -> Club:
    metrics, watch = Metrics(), Watch()
    tail = Tail(postgres, watch)
    ledger = PostgresLedger(postgres, partial(_appended, tail, metrics))
    services = Services(
        ledger=ledger,
        read_side=PostgresReadSide(postgres, ledger, watch),
        passwords=Argon2Hasher(),
        clock=SystemClock(),
        rules=settings.rules,
    )
    keys = Keys(settings.home)
    provider_secrets = ProviderSecrets(settings.home)
    tokens = SignedTokens(keys, settings.issuer)
    marks = Marks(store)
    callers = Callers(tokens, postgres.rows, marks, settings.access_token_minutes * 60)
    bus = Bus(services, callers.witness)
    return Club(
        settings=settings,
        bus=bus,
        services=services,
        reads=Reads(postgres.rows, marks, LISTINGS, LOOKUPS),
        tokens=tokens,
        keys=keys,
        store=store,
        provider_secrets=provider_secrets,
        signatures=StandardWebhooks(
            ledger, provider_secrets, timedelta(hours=settings.message_hours)
        ),
        sign_in=SignIn(bus, services, store, channel, tokens),
        callers=callers,
        metrics=metrics,
        ledger=ledger,
        postgres=postgres,
        tail=tail,
        watch=watch,
    )


def _appended(tail: Tail, metrics: Metrics, head: int, commands: int) -> None:
    tail.wake(head)
    metrics.ledger_head.set(head)
    metrics.append_batch.observe(commands)


async def _keep_up(club: Club) -> None:
    """Start the embedded Postgres again whenever it goes without being told to."""
    while True:
        try:
            async with await club.postgres.connect(autocommit=True) as connection:
                async for _ in connection.notifies():
                    pass  # It listens to nothing: this ends when Postgres does.
        except psycopg.OperationalError as lost:
            logger.warning("postgres.lost", reason=str(lost).strip())
        try:
            await asyncio.to_thread(start_again, club.settings.home)
        except (EmbeddedPostgresError, psycopg.Error, OSError) as fault:
            logger.warning("postgres.down", reason=str(fault).strip())
            await asyncio.sleep(RETRY)


async def _keep_house(club: Club) -> None:
    """Do what time does, every now and then."""
    while True:
        try:
            done = await expire_what_is_due(club.bus, club.services)
            await club.ledger.forget_receipts(club.settings.receipt_hours)
            if done:
                logger.info("housekeeping.expired", commands=done)
        except LATER as later:
            logger.warning("housekeeping.postponed", reason=type(later).__name__)
        await asyncio.sleep(club.settings.housekeeping_seconds)
