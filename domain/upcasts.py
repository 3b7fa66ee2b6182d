"""Every reading of an event of an older version as one of today's, in one list.

An upcast looks at nothing but the facts of the event: no clock, no setting. The event's class names
it, so that the stock library finds it, too: `upcast_v1_v2 = staticmethod(upcasts.amount_unknown)`.
"""

from __future__ import annotations

from typing import Any

from domain.days import end_of, is_zone, start_of
from domain.money import UNKNOWN

State = dict[str, Any]


def origin_unknown(state: State) -> None:
    """Nobody wrote down from where a role was given when the first version was written."""
    state["origin"] = "unknown"


def nothing_kept(state: State) -> None:
    """No time of a client was kept in a pause when the first version was written."""
    state["kept_seconds"] = None


def amount_unknown(state: State) -> None:
    """Nobody wrote down how much a payment was when the first version was written."""
    state["amount"] = None


def source_unknown(state: State) -> None:
    """Nobody wrote down who told of money, and from where, when the first version was written."""
    state |= UNKNOWN._asdict()


def days_of_the_zone(state: State) -> None:
    """The first version of a report left it to whoever read it to know when days begin."""
    zone = state["timezone"]
    if not is_zone(zone):
        # Other tz databases know more names, of which some put a room before the zone's own.
        zone = zone.partition("/")[2] if is_zone(zone.partition("/")[2]) else "UTC"
    state["starts_at"] = start_of(state["report_date_start"], zone)
    state["ends_before"] = end_of(state["report_date_end"], zone)


def asked_for(state: State) -> None:
    """Somebody had asked for each report before there were daily ones."""
    state["daily"] = False


def daily_report_at_eight(state: State) -> None:
    """Daily reports are made at eight, unless the club says something else."""
    state["daily_report_at"] = "08:00"
