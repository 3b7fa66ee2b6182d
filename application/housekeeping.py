"""What time does by itself: payments that nobody settles expire, and so do clients.

Every step is a command that decides on the aggregate itself, so that doing it late, twice or in
two processes at once happens once.
"""

from __future__ import annotations

import uuid
from datetime import timedelta

from application.access import THE_CLUB
from application.bus import Bus
from application.clients import LapseClient
from application.command import Command, Context
from application.payments import ExpirePayment
from application.ports.ledger import LedgerUnavailable, Overloaded, UnreadableHistory
from application.ports.services import Services
from domain.refusals import Busy, Conflict, NotFound

BATCH = 500

LATER = (LedgerUnavailable, Overloaded, Busy)
"""For what reasons it is only put off: another time does it all."""


async def expire_what_is_due(bus: Bus, services: Services) -> int:
    """Expire overdue payments and lapsed clients; returns how many of them."""
    now = services.clock.now()
    before = now - timedelta(hours=(await bus.rules()).payment_patience_hours)
    payments = await services.read_side.overdue_payments(before, BATCH)
    clients = await services.read_side.lapsed_clients(now, BATCH)
    commands: list[Command] = [
        *(ExpirePayment(number) for number in payments),
        *(LapseClient(number) for number in clients),
    ]
    context = Context(THE_CLUB, correlation_id=f"housekeeping-{uuid.uuid4().hex}", visible=False)
    return sum([await _done(bus, command, context) for command in commands])


async def _done(bus: Bus, command: Command, context: Context) -> bool:
    try:
        outcome = await bus.execute(command, context)
    except (Conflict, NotFound, UnreadableHistory):
        # Settled, prolonged or deleted in the meantime: there is nothing left to do. Or it is for
        # a newer release to do.
        return False
    return outcome.position > 0
