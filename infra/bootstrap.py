"""The one place that wires the club: a context manager that closes what it opened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import structlog

from application.access import THE_CLUB
from application.bus import Bus
from application.command import Context
from application.daily_reports import draw_up_what_is_due
from application.history import Past
from application.housekeeping import expire_what_is_due
from application.morning import Mornings
from application.page_links import MakePageLinkFor
from application.ports.read_side import ReadSide
from application.ports.services import Services
from application.ports.signing_in import CodeChannel
from application.reporting.reports import Reports
from application.rules import AdoptRules
from application.sending import send_what_is_due
from application.sign_in import SignIn
from domain.refusals import Conflict, NotFound
from infra.faults import Fault
from infra.following.builder import Progress
from infra.following.elsewhere import follow
from infra.following.follower import RETRY
from infra.following.projecting import SMALL_BATCH, Projecting, Projector
from infra.following.read_side import LONGEST_WAIT, PostgresReadSide
from infra.following.rebuilding import build_forward, make_missing
from infra.following.refreshing import RefreshStopped, refresh
from infra.following.sealing import Sealing
from infra.following.watch import Watch
from infra.health import Health, Lookout
from infra.ledger.history import PostgresHistory
from infra.ledger.importing import import_from, make_room
from infra.ledger.ledger import PostgresLedger
from infra.ledger.numbers import put_right
from infra.ledger.postgres import Desks, Postgres
from infra.ledger.schema import (
    ChainThere,
    LedgerMissing,
    Opened,
    advance_ledger,
    has_chain,
    has_ledger,
    open_ledger,
)
from infra.metrics import Metrics
from infra.parts import BOT, SEALS_OUT, Parts
from infra.proofs.heads import BesideTheKey, Outside, last_head
from infra.proofs.verifying import Keys as PublicKeys
from infra.rabbitmq import RabbitMQ, open_rabbitmq
from infra.secrets.callers import Callers
from infra.secrets.codes import open_codes
from infra.secrets.keys import Keys
from infra.secrets.passwords import Argon2Hasher
from infra.secrets.sealing_key import SealingKey, has_sealing_key
from infra.secrets.seals import open_seal
from infra.secrets.signatures import ProviderSecrets, StandardWebhooks
from infra.secrets.tokens import SignedTokens
from infra.servers.embedded_postgres import embedded_postgres, has_database, start_again
from infra.servers.postgres_server import EmbeddedPostgresError
from infra.settings import Settings
from infra.short_lived import Marks, Store, open_store
from infra.timers import Timer, Timers
from projections.catalogue import DOCUMENTED, FIGURES, GROUPS
from projections.engine.model import Group
from projections.engine.reads import Reads
from projections.figures.reading import FigureTables
from projections.views import LISTINGS, LOOKUPS

if TYPE_CHECKING:
    from aiogram import Bot

SELDOM = 4
"""How many times as seldom whoever projects refreshes the figures, as those whose part it is."""

logger = structlog.get_logger(__name__)


Tell = Callable[[str], None]
"""Hears in a sentence what is being made, as it begins."""


def quietly(_: str) -> None:
    """Nobody waits for it."""


MAKING_POSTGRES = "Making a Postgres of the club's own in {folder}: some seconds, this once."
MAKING_TABLES = "Making the club's tables."


class HomeMissing(Fault):
    """There is no club in {home}: `club run` makes one, and CLUB_HOME says where."""


class TablesUnfinished(Fault):
    """{count} events are imported, but the tables cannot be made from them: {why}.

    `club run` of a release that can goes on there.
    """


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
    figures: Reports
    tokens: SignedTokens
    keys: Keys
    store: Store
    provider_secrets: ProviderSecrets
    signatures: StandardWebhooks
    sign_in: SignIn
    callers: Callers
    metrics: Metrics
    ledger: PostgresLedger
    past: Past
    postgres: Postgres
    projecting: Projecting
    watch: Watch
    parts: Parts
    lookout: Lookout
    bot: Bot | None = None
    rabbitmq: RabbitMQ | None = None
    refreshing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Whoever of this process waits for newer figures waits for one refresh, and one connection."""

    @property
    def read_side(self) -> ReadSide:
        """How far the read tables are, and who refers to what."""
        return self.services.read_side

    async def health(self) -> Health:
        """How every part of the club is doing."""
        return await self.lookout.health()

    async def refresh_reports(self, progress: Progress = lambda _: None) -> int:
        """Take in what the ledger has beyond the figures; returns how many positions that took.

        Raises RefreshStopped where that cannot be.
        """
        return await refresh(self.postgres, FIGURES, progress)

    async def bring_reports_up(self) -> None:
        """Refresh the figures for somebody who waits: as far as that comes in a short while."""
        with suppress(TimeoutError, RefreshStopped, psycopg.OperationalError):
            async with asyncio.timeout(LONGEST_WAIT), self.refreshing:
                await self.refresh_reports()

    async def send_reports(self) -> int:
        """Send the figures of the morning to who wants them; to how many they were sent."""
        # Importing aiogram takes seconds.
        from infra.telegram import TelegramChats  # noqa: PLC0415

        chats = None if self.bot is None else TelegramChats(self.bot)
        mornings = Mornings(
            self.figures, self.reads, self.bus.rules, self.refresh_reports, self._link_for
        )
        return await send_what_is_due(self.bus, self.services, chats, mornings.write)

    async def sealing(self) -> Sealing:
        """Who seals the ledger, with the key of this club's home."""
        folder = self.settings.seals_dir
        return Sealing(
            self.postgres,
            await self.sealing_key(),
            self.settings.seal_seconds,
            None if folder is None else Outside(folder),
            beside=BesideTheKey(self.settings.home),
        )

    async def sealing_key(self) -> SealingKey | None:
        """The key of the home, made where nothing was ever sealed; None where it is lost."""
        if not has_sealing_key(self.settings.home):
            async with await self.postgres.connect() as connection:
                if await last_head(connection, self.settings.home) is not None:
                    return None
        return SealingKey.of(self.settings.home)

    async def _link_for(self, user_id: int) -> str | None:
        """A link to the overview; none where nobody said how the club is reached from outside."""
        if not self.settings.public_url:
            return None
        try:
            made = await self.bus.execute(MakePageLinkFor(user_id), Context(THE_CLUB, "sending"))
        except (Conflict, NotFound):
            return None  # They may not read it any more.
        return self.settings.public_url.rstrip("/") + str((made.shown or {})["url"])


@asynccontextmanager
async def open_club(  # noqa: PLR0913 - each is a part of the club that may run elsewhere
    settings: Settings,
    *,
    projecting: bool = True,
    building: bool = False,
    forward: bool = True,
    founding: Tell | None = quietly,
    housekeeping: bool = False,
    sealing: bool = False,
    reporting: bool = False,
) -> AsyncIterator[Club]:
    """The club of these settings; everything is closed at the end.

    A part that dies of a fault of ours takes the whole club with it, rather than leave callers
    without an answer.

    `projecting` follows the ledger in this process, not only in others; `building` makes what is
    missing or (`forward`) older than this release, and is for those whose part it is to project;
    `founding` hears of it where the club itself is made, and None makes none; `housekeeping` does
    what time does; `sealing` signs what is in the ledger; `reporting` tells all others how the
    parts here are doing.

    Raises HomeMissing or LedgerMissing where there is no club, and none is to be made, and without
    `building` LedgerOlder where this release cannot work.
    """
    async with AsyncExitStack() as stack:
        postgres, opened = await _database(
            settings, stack, building=building, founding=founding if building else None
        )
        store = await stack.enter_async_context(open_store(settings.redis_url, opened.identity))
        rabbitmq = await stack.enter_async_context(open_rabbitmq(settings.amqp_url))
        codes = await stack.enter_async_context(open_codes(settings))
        club = _wire(settings, postgres, store, codes, rabbitmq, building=building and forward)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(club.ledger.run(), name="ledger-writer")
            beside = [part async for part in _beside(club, housekeeping, sealing)]
            parts = _parts(club, projecting, beside)
            running = [tasks.create_task(part, name=name) for name, part in parts]
            working = [p.follower for p in club.projecting.projectors] if projecting else []
            if reporting:
                running.append(tasks.create_task(club.parts.run(), name="parts"))
            try:
                if building and not opened.has_rules:
                    await _adopt_rules(club)
                async with club.parts.reporting(*working, *beside):
                    yield club
            finally:
                for task in running:
                    task.cancel()
                club.ledger.close()


async def make_club(settings: Settings, founding: Tell = quietly) -> None:
    """Make the club, where there is none yet: the ledger, its tables, and the first rules."""
    alone = settings.model_copy(update={"redis_url": None, "amqp_url": None})
    async with open_club(alone, projecting=False, building=True, founding=founding):
        pass


async def import_club(
    settings: Settings, path: Path, keys: PublicKeys, progress: Progress, founding: Tell = quietly
) -> int:
    """Make a club from an export, where there is none yet; how many events it has.

    Raises whatever is wrong with the database or the file, before there is anything of it, and
    TablesUnfinished where the events are there, and the read tables cannot be made from them.
    """
    alone = settings.model_copy(update={"redis_url": None, "amqp_url": None})
    async with AsyncExitStack() as stack:
        postgres = Postgres(_server(alone, stack, founding))
        async with await postgres.connect(autocommit=True) as connection:
            await make_room(connection, [t.name for group in GROUPS for t in group.tables])
            await connection.set_autocommit(False)
            count = await import_from(connection, path, keys, progress)
    founding(MAKING_TABLES)
    standstill = None
    async with open_club(alone, building=True) as club:
        while standstill is None and not await club.watch.reached(count, RETRY):
            standstill = club.projecting.stuck
    # Out here, as the club's task group would wrap it.
    if standstill is not None:
        raise TablesUnfinished(count=count, why=standstill.sentence)
    return count


def _parts(
    club: Club, projecting: bool, beside: Sequence[Timers | Sealing]
) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
    """What runs as long as the club is open."""
    yield "postgres", club.postgres.keep_watch()
    if projecting:
        yield "projecting", club.projecting.run()
    else:
        yield "follower", follow(club.postgres, club.watch)
    if club.settings.database_url is None:
        yield "embedded-postgres", _keep_up(club)
    for part in beside:
        yield part.name, part.run()


async def _beside(club: Club, housekeeping: bool, sealing: bool) -> AsyncIterator[Timers | Sealing]:
    """What works beside the projectors, and says how it is doing."""
    if housekeeping:
        yield _timers(club)
    if sealing:
        yield await club.sealing()


async def _database(
    settings: Settings, stack: AsyncExitStack, *, building: bool, founding: Tell | None
) -> tuple[Postgres, Opened]:
    """The database, and what is known of the ledger in it."""
    url = _server(settings, stack, founding)
    postgres = Postgres(
        url,
        Desks(
            deciding=settings.deciding_connections,
            showing=settings.showing_connections,
            listing=settings.listing_connections,
            showing_seconds=settings.showing_seconds,
        ),
    )
    async with await postgres.connect(autocommit=True) as connection:
        if building:
            if not await has_ledger(connection):
                if await has_chain(connection):
                    raise ChainThere
                if founding is None:
                    raise LedgerMissing
                founding(MAKING_TABLES)
            await advance_ledger(connection)
            await make_missing(postgres, GROUPS)
        opened = await open_ledger(connection)
        await put_right(connection)
    if not opened.has_tables:
        raise LedgerMissing
    await stack.enter_async_context(postgres.open())
    return postgres, opened


def _server(settings: Settings, stack: AsyncExitStack, founding: Tell | None) -> str:
    """The address of the database: of the embedded Postgres, where no other is set."""
    if settings.database_url is None:
        if not has_database(settings.home):
            if founding is None:
                raise HomeMissing(home=settings.home)
            settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            founding(MAKING_POSTGRES.format(folder=settings.home / "postgres"))
        return stack.enter_context(embedded_postgres(settings.home))
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return settings.database_url


def _wire(
    settings: Settings,
    postgres: Postgres,
    store: Store,
    codes: tuple[CodeChannel, Bot | None],
    rabbitmq: RabbitMQ | None,
    *,
    building: bool,
) -> Club:
    channel, bot = codes
    metrics, watch = Metrics(), Watch(lambda: postgres.era)
    projecting = _projecting(settings, postgres, watch, building=building)
    ledger = PostgresLedger(postgres, partial(_appended, projecting, metrics))
    keys = Keys(settings.home)
    tokens = SignedTokens(keys, settings.issuer)
    services = Services(
        ledger=ledger,
        read_side=PostgresReadSide(postgres, watch),
        passwords=Argon2Hasher(),
        clock=SystemClock(),
        page_tokens=tokens,
        first_rules=settings.first_rules,
        bounds=settings.bounds,
        seal=open_seal(settings.home),
    )
    provider_secrets = ProviderSecrets(settings.home)
    marks = Marks(store)
    callers = Callers(
        tokens, postgres.rows, settings.access_token_minutes * 60, lambda: postgres.era
    )
    bus = Bus(services, callers.witness)
    parts = Parts(postgres)
    lookout = Lookout(
        postgres,
        parts,
        watch,
        metrics,
        store,
        asked_for=[
            *([BOT] if bot else []),
            *([SEALS_OUT] if settings.seals_route else []),
        ],
        rabbitmq=rabbitmq,
    )
    history = PostgresHistory(postgres)
    tables = FigureTables(postgres.listing.rows, history.all_seen_by)
    return Club(
        settings=settings,
        bus=bus,
        services=services,
        reads=Reads(
            postgres.showing.rows,
            postgres.listing.rows,
            marks,
            LISTINGS,
            LOOKUPS,
            most_lists=settings.listing_connections,
        ),
        figures=Reports(tables, bus.zone, services.clock),
        tokens=tokens,
        keys=keys,
        store=store,
        provider_secrets=provider_secrets,
        signatures=StandardWebhooks(
            ledger, provider_secrets, timedelta(hours=settings.message_hours)
        ),
        sign_in=SignIn(bus, services, store, channel, tokens, marks),
        callers=callers,
        metrics=metrics,
        ledger=ledger,
        past=Past(history, lambda: postgres.era),
        postgres=postgres,
        projecting=projecting,
        watch=watch,
        parts=parts,
        lookout=lookout,
        bot=bot,
        rabbitmq=rabbitmq,
    )


def _projecting(
    settings: Settings, postgres: Postgres, watch: Watch, *, building: bool
) -> Projecting:
    """A projector for each group; the watch is on the documented tables.

    The figures are refreshed by timers or by Celery, in small parts. Here they are looked after,
    and built, and refreshed where nobody else does it.
    """

    def builds(group: Group) -> Callable[[], Awaitable[None]] | None:
        return partial(build_forward, postgres, group) if building else None

    documented = Projector(postgres, DOCUMENTED, watch, builds(DOCUMENTED))
    figures = Projector(
        postgres,
        FIGURES,
        Watch(),
        builds(FIGURES),
        every=settings.reports_seconds * SELDOM,
        batch=SMALL_BATCH,
    )
    return Projecting(postgres, (documented, figures))


def _appended(projecting: Projecting, metrics: Metrics, head: int, commands: int) -> None:
    projecting.wake(head)
    metrics.ledger_head.set(head)
    metrics.append_batch.observe(commands)


async def _adopt_rules(club: Club) -> None:
    """Write down the rules of the settings, as the first of a club that has none."""
    first = AdoptRules(asdict(club.settings.first_rules))
    await club.bus.execute(first, Context(THE_CLUB, "first-start", visible=False))


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


def _timers(club: Club) -> Timers:
    """What time does, where no Celery does it."""
    every = club.settings.reports_seconds
    return Timers(
        Timer("housekeeping", partial(_keep_house, club), club.settings.housekeeping_seconds),
        Timer("refreshing reports", club.refresh_reports, every),
        Timer("the daily report", partial(draw_up_what_is_due, club.bus), every),
        Timer("sending reports", club.send_reports, every),
    )


async def _keep_house(club: Club) -> int:
    """Do what is due; how many commands that took."""
    done = await expire_what_is_due(club.bus, club.services)
    await club.ledger.forget_receipts(club.settings.receipt_hours)
    return done
