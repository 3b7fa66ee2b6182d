"""What is still to go out: the ledger from where its messages are confirmed.

Of several relays one has a turn at a time, under a lock that ends with the transaction: events go
out in order, at least once. What was published and not written down when something broke is
published again. At an event that it cannot read a relay stands still and leaves the turn to
others, of which one may be of a newer release.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import psycopg
import structlog

from domain.recorded import Recorded
from infra.following.follower import Follower
from infra.ledger import feed
from infra.ledger.postgres import Postgres
from infra.ledger.schema import HEAD, number_in

RELAY = "club.events"
"""The name of the relay that there is: the exchange that it publishes to."""

BATCH = 500
"""Events that are published before their confirmation is waited for."""

Connection = psycopg.AsyncConnection[Any]
logger = structlog.get_logger(__name__)
Publish = Callable[[Sequence[Recorded]], Awaitable[None]]

# The lock is known to releases before this one, whose relays hold it as long as they live.
_TURN = "SELECT pg_try_advisory_xact_lock(hashtextextended('club relay ' || %s, 0))"
_BEGIN = "INSERT INTO relay_positions VALUES (%s, 0) ON CONFLICT DO NOTHING"
_POSITION = "SELECT position FROM relay_positions WHERE name = %s"
_ADVANCE = "UPDATE relay_positions SET position = %s WHERE name = %s"


class Relay:
    """Has every event of the ledger published, in order."""

    def __init__(
        self,
        postgres: Postgres,
        publish: Publish,
        *,
        name: str = RELAY,
        passes_on: tuple[type[Exception], ...] = (),
    ) -> None:
        """`publish` returns when all of a batch is confirmed; `passes_on` is what it may raise."""
        self.follower = Follower("relay", postgres, self.step, passes_on=passes_on)
        self._name = name
        self._publish = publish

    async def run(self) -> None:
        """Publish until cancelled; raises what publishing raises."""
        await self.follower.run()

    async def step(self, connection: Connection) -> bool:
        """Publish the next batch; whether there was one. Another relay may have its turn."""
        position = await self._take_turn(connection)
        if position is None:
            await connection.rollback()
            return False
        batch = await feed.after(connection, position, BATCH)
        if batch.events:
            await self._publish(batch.events)
            await connection.execute(_ADVANCE, [batch.position, self._name])
        await connection.commit()
        return bool(batch.events)

    async def _take_turn(self, connection: Connection) -> int | None:
        """Up to where it is confirmed; None while another relay has its turn."""
        cursor = await connection.execute(_TURN, [self._name])
        if await cursor.fetchone() != (True,):
            return None
        cursor = await connection.execute(_POSITION, [self._name])
        row = await cursor.fetchone()
        if row is None:
            await connection.execute(_BEGIN, [self._name])
            return 0
        return await self._within(int(row[0]), connection)

    async def _within(self, position: int, connection: Connection) -> int:
        """The position, or where the ledger ends, if it was restored to an earlier time.

        What it still holds went out long ago; what comes next must not be passed by.
        """
        head = await number_in(connection, HEAD)
        if position <= head:
            return position
        logger.warning("relay.ahead-of-the-ledger", relay=self._name, position=position, head=head)
        await connection.execute(_ADVANCE, [head, self._name])
        return head


async def lag(postgres: Postgres, name: str) -> int | None:
    """How many events are still to go out; None where no relay has ever run."""
    rows = await postgres.rows(_LAG, [name])
    return int(rows[0][0]) if rows else None


_LAG = """
SELECT (SELECT coalesce(max(notification_id), 0) FROM ledger_events) - position
FROM relay_positions WHERE name = %s
"""
