"""Payments in: what providers report, signed."""

from __future__ import annotations

from aio_pika.abc import AbstractIncomingMessage

from application.access import Caller, Origin
from application.bus import Bus, StillInFlight
from application.command import Context
from application.payments import PaymentReport, ReportPayment
from application.ports.ledger import LedgerUnavailable, Overloaded, ReceiptKey, UnreadableHistory
from application.ports.signatures import Signatures, Unsigned
from application.rfc3339 import Rfc3339
from domain.refusals import Busy, Refusal
from domain.values import Role
from interfaces.amqp.cloudevents import CloudEvent, Unusable, read
from interfaces.amqp.intake import Later, Unavailable

TYPE = "payment.reported"


class ReportedPayment(CloudEvent):
    """The news of a payment; `time` is when the step was taken."""

    time: Rfc3339
    data: PaymentReport


class PaymentsIn:
    """Hands the news of payments on to the club."""

    def __init__(self, bus: Bus, signatures: Signatures) -> None:
        self._bus = bus
        self._signatures = signatures

    async def handle(self, message: AbstractIncomingMessage) -> None:
        """One message: its signature first, and nothing else of it before that."""
        try:
            provider = await self._signatures.provider(message.headers, message.body)
        except Unsigned as no:
            raise Unusable(type(no).__name__.lower(), type(no).__doc__ or "") from no
        except LedgerUnavailable as away:
            raise Unavailable.of(away) from away
        except UnreadableHistory as unreadable:
            raise Later(type(unreadable).__name__) from unreadable
        news = read(ReportedPayment, message.body)
        if news.type != TYPE:
            raise Unusable("unknown-type", f"There is no {news.type!r} here, only {TYPE!r}.")
        await self._report(provider, news)

    async def _report(self, provider: str, news: ReportedPayment) -> None:
        caller = Caller(None, Role.SYSTEM, f"provider-{provider}")
        context = Context(
            caller,
            correlation_id=news.correlationid or f"{provider}:{news.id}",
            key=ReceiptKey(f"{caller.actor} {news.source}", news.id),
            origin=Origin("amqp"),
            visible=False,
            # Whoever replays it wants it decided anew.
            keep_refusals=False,
        )
        try:
            await self._bus.execute(ReportPayment(news.data, news.time), context)
        except (LedgerUnavailable, Overloaded) as away:
            raise Unavailable.of(away) from away
        except (Busy, StillInFlight, UnreadableHistory) as taken:
            raise Later(type(taken).__name__) from taken
        except Refusal as refusal:
            raise Unusable(refusal.code, refusal.detail) from refusal
