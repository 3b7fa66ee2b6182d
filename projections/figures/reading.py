"""The figures, as reports ask for them: several questions in one statement, so of one moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from projections.engine.table import utc
from projections.figures import clients, money, plans, trainings
from projections.figures.questions import Asks, Cut

QUESTIONS: Mapping[str, Asks] = {
    "client-moves": clients.moves,
    "client-standing": clients.standing,
    "cohorts": clients.cohorts,
    "endings": clients.endings,
    "money": money.moved,
    "outstanding": money.outstanding,
    "trainings": trainings.planned,
    "exercises": trainings.used,
    "muscle-groups": trainings.muscles,
    "plan-moves": plans.moves,
    "plan-standing": plans.standing,
    "plan-pins": plans.pins,
    "plan-following": plans.following,
}
"""What can be asked, by name."""

_ANYTHING = " OR ".join(
    [
        *(
            f"EXISTS (SELECT FROM {table.name} WHERE width = 'quarter' AND at < %s::timestamptz)"
            for table in (clients.MOVES, money.MONEY, plans.MOVES)
        ),
        f"EXISTS (SELECT FROM {trainings.DAYS.name} WHERE day < %s::date)",
    ]
)
# How far the tables are. Nothing is missing that was recorded before the next event. Where there is
# none, it may be that one is recorded already and not committed, which nobody can see: so now is
# too late, and it is a moment for which the ledger has said that all can be seen, or else that of
# the last event, which is not old while others are recorded.
_FROM = """
FROM read_groups AS g
LEFT JOIN ledger_events AS last ON last.notification_id = g.position
LEFT JOIN ledger_events AS next ON next.notification_id = g.position + 1
WHERE g.name = 'figures'
"""
_AS_OF = utc(
    "(coalesce(next.recorded_at, %s::timestamptz, last.recorded_at, 'epoch')"
    " - interval '1 microsecond')",
    "as_of",
)


class Look:
    """Some questions, put together so that each is looked up once, whoever asks it."""

    def __init__(self, asked: Sequence[tuple[str, Sequence[str], Sequence[str]]]) -> None:
        """Each is about periods between moments, or days."""
        self._named = [(name, tuple(moments), tuple(days)) for name, moments, days in asked]
        self._once = {one: number for number, one in enumerate(dict.fromkeys(self._named))}
        questions = [QUESTIONS[name](Cut(moments, days)) for name, moments, days in self._once]
        answers = ", ".join(question.as_json for question in questions)
        self.sql = f"'anything', {_ANYTHING}, 'answers', json_build_array({answers})"
        """What is found, as arguments of `json_build_object`."""
        _, moments, days = self._named[0]
        end = [moments[-1]] * 3 + [days[-1]]
        self.params = [*end, *(param for question in questions for param in question.params)]

    async def found(self, text: str) -> Mapping[str, Any]:
        """What was found, from the JSON of it; of ten years by the day these are megabytes."""
        found: dict[str, Any] = await asyncio.to_thread(orjson.loads, text)
        return {**found, "answers": [found["answers"][self._once[one]] for one in self._named]}


class FigureTables:
    """Answers from the tables of figures."""

    def __init__(
        self,
        rows: Callable[[str, Sequence[Any]], Awaitable[list[tuple[Any, ...]]]],
        all_seen_by: Callable[[], Awaitable[datetime | None]],
    ) -> None:
        """`rows` runs one query.

        `all_seen_by` tells a moment, where it can: all that was recorded before is seen since.
        """
        self._rows = rows
        self._all_seen_by = all_seen_by

    async def look(
        self, asked: Sequence[tuple[str, Sequence[str], Sequence[str]]]
    ) -> Mapping[str, Any]:
        """The answers to some questions, each about periods between moments, or days.

        That is `answers`, each as rows; `position` and `as_of`, up to which they hold; and
        `anything`, whether anything was counted by the end of the first question's periods.
        """
        seen = await self._all_seen_by()
        look = Look(asked)
        sql = f"""
        SELECT json_build_object(
            'position', g.position, 'as_of', (SELECT {_AS_OF}), {look.sql}
        )::text {_FROM}
        """
        ((text,),) = await self._rows(sql, [seen, *look.params])
        return await look.found(text)
