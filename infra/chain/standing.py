"""How each club of a chain stands: how far it is in the tables of a group, and what holds it up."""

from __future__ import annotations

from infra.health import LATE
from projections.engine.model import Group
from projections.engine.table import utc


def standing(group: Group) -> str:
    """SQL for a row of each club, beside this release's tables of the group.

    `state` is `running`, `behind`, `standing`, or `absent` where there is nothing of the club in
    these tables yet. `built` is whether they were ever as far as the tables that they replace;
    `due` is how far those are.
    """
    return f"""
    SELECT club.number, club.name, '{group.name}' AS group_name,
        {group.generation} AS generation, far.position, {utc("p.recorded_at", "as_of")},
        far.lag, far.age,
        CASE WHEN p.club IS NULL THEN 'absent' WHEN p.reason IS NOT NULL THEN 'standing'
            WHEN far.age > {LATE} THEN 'behind' ELSE 'running' END AS state,
        p.reason, p.stands_at, p.topic, {utc("p.since", "since")},
        before.position AS due,
        before.position IS NULL OR far.position >= before.position
            OR coalesce(p.recorded_at >= made.made_at, FALSE) AS built
    FROM chain_clubs AS club
    LEFT JOIN chain_positions AS p ON p.club = club.number
        AND p.group_name = '{group.name}' AND p.generation = {group.generation}
    LEFT JOIN chain_groups AS made
        ON made.name = '{group.name}' AND made.generation = {group.generation}
    CROSS JOIN LATERAL (
        SELECT coalesce(p.position, 0) AS position,
            CASE WHEN club.seen_at IS NOT NULL
                THEN greatest(0, club.head - coalesce(p.position, 0)) END AS lag,
            CASE WHEN club.head > coalesce(p.position, 0)
                THEN round(extract(epoch FROM clock_timestamp() - club.waiting_since), 1) END AS age
    ) AS far
    CROSS JOIN LATERAL (
        SELECT max(position) AS position FROM chain_positions AS older
        WHERE older.group_name = '{group.name}' AND older.generation < {group.generation}
          AND older.club = club.number) AS before
    """  # noqa: S608 - made of constants
