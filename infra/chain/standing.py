"""How each club of a chain stands: how far it is in the tables of a group, and what holds it up."""

from __future__ import annotations

from infra.health import LATE
from projections.engine.model import Group
from projections.engine.table import utc

UNSEEN = 180.0
"""Seconds after which it is not known any more how far a ledger is that was not seen."""

ON_ITS_WAY = 30.0
"""Seconds before a look at a ledger within which something may have been recorded unseen."""

WORST_LAST = ("running", "behind", "unseen", "absent", "standing")
"""What a club may be in a chain."""


def standing(group: Group) -> str:
    """SQL for a row of each club, beside this release's tables of the group.

    `state` is `running`, `behind`, `unseen` where its ledger was not looked at for minutes, or
    never, `standing`, or `absent` where there is nothing of the club in these tables yet. `as_of`
    is up to when they hold: of a club that is fully in, that is when that was seen. `built` is
    whether they were ever as far as the tables that they replace; `due` is how far those are.
    """
    return f"""
    SELECT club.number, club.name, '{group.name}' AS group_name,
        {group.generation} AS generation, far.position,
        {utc("far.as_of")}, far.lag, far.age,
        round(extract(epoch FROM clock_timestamp() - coalesce(club.seen_at, club.joined_at)), 1)
            AS unseen,
        CASE WHEN p.club IS NULL THEN 'absent' WHEN p.reason IS NOT NULL THEN 'standing'
            WHEN far.age > {LATE} THEN 'behind'
            WHEN club.seen_at > clock_timestamp() - interval '{UNSEEN} s' THEN 'running'
            ELSE 'unseen' END AS state,
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
                    AND coalesce(p.position, 0) <= club.waiting_after
                THEN round(extract(epoch FROM clock_timestamp() - club.waiting_since), 1)
                END AS age,
            CASE WHEN p.club IS NULL THEN NULL WHEN p.position >= club.head
                THEN greatest(p.recorded_at, club.seen_at - interval '{ON_ITS_WAY} s')
                ELSE p.recorded_at END AS as_of
    ) AS far
    CROSS JOIN LATERAL (
        SELECT max(position) AS position FROM chain_positions AS older
        WHERE older.group_name = '{group.name}' AND older.generation < {group.generation}
          AND older.club = club.number) AS before
    """  # noqa: S608 - made of constants
