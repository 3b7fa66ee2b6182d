"""Taking in what the ledger has beyond the tables of a group: once, by whoever is told to.

Rows and position are committed together, batch by batch, as the projector does it: two refreshes
at once count once, and one that is killed is gone on with from where it was.
"""

from __future__ import annotations

from collections.abc import Callable

from application.ports.figures import FiguresStopped
from infra.faults import Fault
from infra.following.follower import StandsAside, Stuck, connected
from infra.following.projecting import SMALL_BATCH, Projector
from infra.following.watch import Watch
from infra.ledger import feed
from infra.ledger.postgres import Postgres
from infra.ledger.schema import HEAD, number_in
from projections.engine.folding import Tripped
from projections.engine.model import Group


class RefreshStopped(Fault, FiguresStopped):
    """The tables of the group {group} follow the ledger no further: {reason}."""


async def refresh(
    postgres: Postgres, group: Group, progress: Callable[[int], None] = lambda _: None
) -> int:
    """Take in what the ledger holds by now; returns how many positions that took.

    `progress` is told of each part. Raises RefreshStopped where the tables are another release's,
    or an event cannot be taken.
    """
    projector = Projector(postgres, group, Watch(), batch=SMALL_BATCH)
    try:
        async with connected(postgres) as connection:
            head = await number_in(connection, HEAD)
            await connection.rollback()
            return await projector.catch_up(connection, head, progress)
    except (feed.Unreadable, Tripped, Stuck, StandsAside) as stopped:
        raise RefreshStopped(group=group.name, reason=str(stopped)) from stopped
