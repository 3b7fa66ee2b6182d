"""The clock of this machine, and how far those of two machines of the club may be apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

APART = timedelta(seconds=10)
"""What one machine signed holds for another whose clock differs by so much, and not by more.

Clocks that are kept right differ by milliseconds; ten seconds are for those that are not, or only
now and then, and add little to the fifteen minutes of an access token.
"""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """This moment, in UTC."""
        return datetime.now(UTC)
