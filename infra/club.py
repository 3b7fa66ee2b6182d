"""The club, as interfaces see it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg

from application.access import THE_CLUB
from application.bus import Bus
from application.command import Context
from application.history import Past
from application.morning import Mornings
from application.page_links import MakePageLinkFor
from application.ports.chats import Chats
from application.ports.read_side import ReadSide
from application.ports.services import Services
from application.reporting.reports import Reports
from application.sending import send_what_is_due
from application.sign_in import SignIn
from domain.refusals import Conflict, NotFound
from infra.following.builder import Progress
from infra.following.projecting import Projecting
from infra.following.read_side import LONGEST_WAIT
from infra.following.refreshing import RefreshStopped, refresh
from infra.following.sealing import Sealing
from infra.following.watch import Watch
from infra.health import Health, Lookout
from infra.ledger.ledger import PostgresLedger
from infra.ledger.postgres import Postgres
from infra.metrics import Metrics
from infra.parts import Parts
from infra.proofs.heads import BesideTheKey, Outside, last_head
from infra.rabbitmq import RabbitMQ
from infra.secrets.callers import Callers
from infra.secrets.keys import Keys
from infra.secrets.sealing_key import SealingKey, has_sealing_key
from infra.secrets.signatures import ProviderSecrets, StandardWebhooks
from infra.secrets.tokens import SignedTokens
from infra.settings import Settings
from infra.short_lived import Store
from projections.catalogue import FIGURES
from projections.engine.reads import Reads

if TYPE_CHECKING:
    from aiogram import Bot


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
        mornings = Mornings(
            self.figures, self.reads, self.bus.rules, self.refresh_reports, self._link_for
        )
        return await send_what_is_due(self.bus, self.services, self._chats(), mornings.write)

    def _chats(self) -> Chats | None:
        """Where messages can be sent; only who has a bot imports what takes seconds."""
        if self.bot is None:
            return None
        from infra.telegram import TelegramChats  # noqa: PLC0415

        return TelegramChats(self.bot)

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
