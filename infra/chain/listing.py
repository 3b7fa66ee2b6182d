"""The clubs of a chain as a list: how far each is, and what holds it up."""

from __future__ import annotations

from collections.abc import Sequence

from infra.chain.standing import standing
from projections.engine.lists import Listing
from projections.engine.model import Group
from projections.engine.table import utc

_WHY = ", 'stands_at', g.stands_at, 'topic', g.topic, 'reason', g.reason"


def clubs_of(groups: Sequence[Group], *, why: bool) -> Listing:
    """Each club, beside the tables that the chain computes; `why` one stands still, too."""
    every = " UNION ALL ".join(standing(group) for group in groups)
    in_groups = f"""
    (SELECT json_agg(json_build_object(
        'name', g.group_name, 'generation', g.generation, 'state', g.state,
        'position', g.position, 'as_of', g.as_of, 'lag', g.lag, 'age', g.age,
        'since', g.since{_WHY if why else ""}
    ) ORDER BY g.group_name) FROM ({every}) AS g WHERE g.number = c.number) AS groups
    """  # noqa: S608 - made of constants
    return Listing(
        kind="club",
        table="chain_clubs AS c",
        answer=f"""
        c.number AS id, c.name, c.ledger, {utc("c.joined_at")},
        CASE WHEN c.seen_at IS NOT NULL THEN c.head END AS head,
        CASE WHEN c.seen_at IS NOT NULL THEN c.published END AS published,
        {utc("c.seen_at")}, {in_groups}
        """,
        columns={"id": "c.number", "name": "c.name", "joined_at": "c.joined_at"},
    )
