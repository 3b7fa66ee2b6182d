"""The time for which a client is let in: what was bought, less what is used up.

A day is 24 hours. None of it is used in a pause.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from domain.aggregate import text_time, time_text


class Admission(NamedTuple):
    """Days in the club that one payment bought, or that the club granted."""

    payment_id: int | None
    paid_at: str
    days: int


class Span(NamedTuple):
    """Some time, between two moments."""

    since: str
    until: str


class TimeLeft(NamedTuple):
    """Until when a client is let in; in a pause, how many seconds of that are kept."""

    until: str | None
    kept_seconds: int | None

    def lasts(self, at: datetime) -> bool:
        """Whether there is any at that moment."""
        return self.kept_seconds is not None or (
            self.until is not None and at < text_time(self.until)
        )


NO_TIME = TimeLeft(None, None)


def admitted_until(admissions: Iterable[Admission], pauses: Sequence[Span] = ()) -> str | None:
    """When the time of these ends, whatever order they became known in.

    Each counts from the moment it was paid or granted, or from the end of the time before. A
    day is 24 hours, and none of it is used up in a pause.
    """
    end: datetime | None = None
    for admission in sorted(admissions, key=lambda a: (a.paid_at, a.payment_id or 0)):
        paid_at = text_time(admission.paid_at)
        start = paid_at if end is None else max(end, paid_at)
        end = used_up(start, timedelta(days=admission.days), pauses)
    return None if end is None else time_text(end)


def used_up(start: datetime, time: timedelta, pauses: Sequence[Span]) -> datetime:
    """When so much time is used up that is used from `start` on, but not in these pauses."""
    end = start + time
    for pause in pauses:
        since, until = map(text_time, pause)
        if start < until and since < end:
            end += until - max(since, start)
    return end
