"""The club, put together: the one place that wires all of it.

`infra/club.py` says what it is then, `infra/opening.py` how its database is found or made, and
`infra/beside.py` what runs as long as it is open.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from application.access import THE_CLUB
from application.bus import Bus
from application.command import Context
from application.history import Past
from application.ports.services import Services
from application.ports.signing_in import CodeChannel
from application.reporting.reports import Reports
from application.rules import AdoptRules
from application.sign_in import SignIn
from infra.beside import all_that_runs, works_beside
from infra.club import Club
from infra.faults import Fault
from infra.following.builder import Progress
from infra.following.follower import RETRY
from infra.following.projecting import SMALL_BATCH, Projecting, Projector
from infra.following.read_side import PostgresReadSide
from infra.following.rebuilding import build_forward
from infra.following.watch import Watch
from infra.health import Lookout
from infra.ledger.history import PostgresHistory
from infra.ledger.importing import import_from, make_room
from infra.ledger.ledger import PostgresLedger
from infra.ledger.postgres import Postgres
from infra.metrics import Metrics
from infra.opening import (
    MAKING_POSTGRES,
    MAKING_TABLES,
    HomeMissing,
    Tell,
    open_database,
    quietly,
    server_url,
)
from infra.parts import BOT, SEALS_OUT, Parts
from infra.proofs.verifying import Keys as PublicKeys
from infra.rabbitmq import RabbitMQ, open_rabbitmq
from infra.secrets.callers import Callers
from infra.secrets.clocks import SystemClock
from infra.secrets.codes import open_codes
from infra.secrets.keys import Keys
from infra.secrets.passwords import Argon2Hasher
from infra.secrets.seals import open_seal
from infra.secrets.signatures import ProviderSecrets, StandardWebhooks
from infra.secrets.tokens import SignedTokens
from infra.settings import Settings
from infra.short_lived import Marks, Store, open_store
from projections.catalogue import DOCUMENTED, FIGURES, GROUPS
from projections.engine.model import Group
from projections.engine.reads import Reads
from projections.figures.reading import FigureTables
from projections.views import LISTINGS, LOOKUPS

if TYPE_CHECKING:
    from aiogram import Bot


__all__ = [
    "MAKING_POSTGRES",
    "MAKING_TABLES",
    "Club",
    "HomeMissing",
    "TablesUnfinished",
    "Tell",
    "import_club",
    "make_club",
    "open_club",
    "quietly",
]

SELDOM = 4
"""How many times as seldom whoever projects refreshes the figures, as those whose part it is."""


class TablesUnfinished(Fault):
    """{count} events are imported, but the tables cannot be made from them: {why}.

    `club run` of a release that can goes on there.
    """


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
        postgres, opened = await open_database(
            settings, stack, building=building, founding=founding if building else None
        )
        store = await stack.enter_async_context(open_store(settings.redis_url, opened.identity))
        rabbitmq = await stack.enter_async_context(open_rabbitmq(settings.amqp_url))
        codes = await stack.enter_async_context(open_codes(settings))
        club = _wire(settings, postgres, store, codes, rabbitmq, building=building and forward)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(club.ledger.run(), name="ledger-writer")
            beside = [part async for part in works_beside(club, housekeeping, sealing)]
            parts = all_that_runs(club, projecting, beside)
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
        postgres = Postgres(server_url(alone, stack, founding))
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
