"""The figures of a chain: the same questions as to those of one club, and the answers added up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from application.ports.chain import (
    BeingBuilt,
    HeldUp,
    NoClubs,
    NoFigures,
    NothingComputed,
    OtherGeneration,
    UnknownClub,
)
from application.ports.figures import FiguresOfClub
from application.ports.services import Clock, Zone
from application.reporting.reports import Reports
from domain.refusals import Busy
from infra.chain.standing import standing
from infra.ledger.desk import TablesOfAnotherRelease
from projections.catalogue import FIGURES
from projections.engine.reads import Rows
from projections.figures.of_chain import shadows
from projections.figures.reading import Look

# The clubs that are asked about, and what is counted of them: one statement, so of one moment.
_LOOK = f"""
WITH told AS MATERIALIZED (
    SELECT * FROM ({standing(FIGURES)}) AS every WHERE %s::text[] IS NULL OR name = ANY(%s)),
{shadows(FIGURES)}
SELECT json_build_object(
    'clubs', (SELECT coalesce(json_agg(told ORDER BY name), '[]') FROM told), {{found}}
)::text
"""  # noqa: S608 - made of constants

_STANDING = f"SELECT row_to_json(every)::text FROM ({standing(FIGURES)}) AS every"  # noqa: S608
_GENERATIONS = """
SELECT generation FROM chain_groups WHERE name = 'figures' ORDER BY generation DESC
"""


class FiguresOfChain:
    """The figures of all clubs of a chain, or of some."""

    def __init__(self, rows: Rows, timezone: str, clock: Clock, *, computed: bool) -> None:
        """`rows` runs one query; `computed` is whether the chain computes figures at all."""
        self._rows = rows
        self._timezone = timezone
        self._clock = clock
        self._computed = computed

    def of(self, clubs: Sequence[str]) -> FiguresOfClub:
        """Those of the clubs of these names; of all without any. Raises NoFigures."""
        if not self._computed:
            raise NoFigures
        return Reports(_Tables(self._rows, clubs), self._zone, self._clock)

    async def _zone(self) -> Zone:
        return Zone(self._timezone, None)


class _Tables:
    """Answers from the tables of figures of some clubs."""

    def __init__(self, rows: Rows, clubs: Sequence[str]) -> None:
        self._rows = rows
        self._clubs = list(clubs) or None

    async def look(
        self, asked: Sequence[tuple[str, Sequence[str], Sequence[str]]]
    ) -> Mapping[str, Any]:
        """As of one club; `clubs` says up to where each of them is in the answers."""
        look = Look(asked)
        sql = _LOOK.format(found=look.sql)
        try:
            ((text,),) = await self._rows(sql, [self._clubs, self._clubs, *look.params])
        except TablesOfAnotherRelease:
            await self._say_why_not()
            raise
        found = await look.found(text)
        clubs = found["clubs"]
        known = {club["name"] for club in clubs}
        for name in self._clubs or ():
            if name not in known:
                raise UnknownClub(name=name)
        if not clubs:
            raise NoClubs
        if not all(club["built"] for club in clubs):
            raise _why_not_built(clubs)
        held = [club["as_of"] for club in clubs]
        return {
            **found,
            "clubs": [{**club, "club": club["name"]} for club in clubs],
            "position": sum(club["position"] for club in clubs),
            "as_of": None if None in held else min(held),
        }

    async def _say_why_not(self) -> None:
        """Say why the tables are not there; nothing, where nobody knows."""
        generations = [number for (number,) in await self._rows(_GENERATIONS, ())]
        if not await self._rows("SELECT 1 FROM chain_clubs LIMIT 1", ()):
            raise NoClubs
        if not generations:
            raise NothingComputed
        if FIGURES.generation in generations:
            return
        newer = generations[0] > FIGURES.generation
        what_then = (
            "a newer release reads them"
            if newer
            else "workers (`club stream`) of this release build them"
        )
        raise OtherGeneration(found=generations[0], wanted=FIGURES.generation, what_then=what_then)


NAMED = 5
"""How many clubs that stand still are named, at most."""


def _why_not_built(clubs: Sequence[Mapping[str, Any]]) -> Busy:
    """That the figures are being built, or which clubs nobody need wait for."""
    held_up = [c["name"] for c in clubs if c["state"] == "standing" and not c["built"]]
    if held_up:
        names = ", ".join(held_up[:NAMED]) + (", …" if len(held_up) > NAMED else "")
        return HeldUp(names=names)
    return BeingBuilt(
        events=sum(club["position"] for club in clubs),
        all_events=sum(max(club["due"] or 0, club["position"]) for club in clubs),
        done=sum(club["built"] for club in clubs),
        clubs=len(clubs),
    )
