"""The figures of the morning, as they are sent: yesterday beside the day before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import orjson

from application.figures import By, Headline, Overview
from application.ports.figures import FiguresOfClub, Wanted
from application.ports.queries import Queries, View
from application.ports.services import Rules
from application.sending import Daily
from domain.days import day_of
from domain.refusals import Busy

TOLD = ("active", "joined", "lapsed", "net")
"""Which of the overview's figures are sent."""

LinkFor = Callable[[int], Awaitable[str | None]]
"""Where a user reads all of it in a browser, where anybody knows."""


class Mornings:
    """Writes the figures of a morning."""

    def __init__(
        self,
        figures: FiguresOfClub,
        queries: Queries,
        rules: Callable[[], Awaitable[Rules]],
        refresh: Callable[[], Awaitable[int]],
        link_for: LinkFor,
    ) -> None:
        """`refresh` brings the figures up to now, or raises FiguresStopped."""
        self._figures = figures
        self._queries = queries
        self._rules = rules
        self._refresh = refresh
        self._link_for = link_for

    async def write(self, daily: Daily, user_id: int) -> str:
        """The text for a user.

        Raises FiguresStopped, and Busy while the tables do not show the daily report yet.
        """
        await self._refresh()
        row = await self._queries.one(View.REPORTS, daily.number)
        if row is None:
            raise Busy
        yesterday = date.fromisoformat(daily.day) - timedelta(days=1)
        overview = await self._figures.overview(Wanted(yesterday, yesterday, By.DAY))
        users = orjson.loads(row.body)["new_users"]["data"]
        new_users = new_on(users, yesterday, (await self._rules()).timezone)
        return morning(overview, yesterday, new_users, await self._link_for(user_id))


def morning(
    overview: Overview, yesterday: date, new_users: tuple[int, int], link: str | None
) -> str:
    """A text for a chat; `new_users` are those of yesterday, and of the day before."""
    told = {headline.name: headline for headline in overview.headlines}
    now, before = new_users
    lines = [*(_line(told[name]) for name in TOLD), f"New users: {now} ({before})"]
    said = f"The club on {yesterday:%A, %d %B %Y}; in brackets, the day before.\n\n"
    said += "\n".join(lines)
    return said if link is None else f"{said}\n\nAll of it, for a day: {link}"


def _line(headline: Headline) -> str:
    return f"{headline.title}: {headline.now} ({headline.before})"


def new_on(users: Sequence[Mapping[str, Any]], day: date, timezone: str) -> tuple[int, int]:
    """How many of the users in a report registered on a day, and on the day before."""
    days = [day_of(datetime.fromisoformat(user["created_at"]), timezone) for user in users]
    return days.count(day.isoformat()), days.count((day - timedelta(days=1)).isoformat())
