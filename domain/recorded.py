"""An event as the ledger has it."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from domain.aggregate import Event


class Recorded(NamedTuple):
    """An event with its place in the ledger, and who recorded it when and why."""

    position: int
    """Its number in the ledger, without gaps, in the order of the commits."""
    event: Event
    recorded_at: datetime
    """When the ledger took it, by the clock of Postgres."""
    actor: str
    """Who did it: `user-42`, or `club` for what follows by itself."""
    command: str
    """The name of the command that it came from."""
    command_id: str
    correlation_id: str
    """The conversation that it belongs to: the id of a request, or of a message."""
    causation_id: str
    """The id of the command, or of the event that a policy answered with the command."""
