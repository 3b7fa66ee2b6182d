"""Money that was collected for a payment, and how it is known again."""

from __future__ import annotations

from typing import NamedTuple


class Source(NamedTuple):
    """From where money comes: who collected it, and the reference that they have for it."""

    collector: str | None
    """`provider-acme`, or `club` for what somebody there took; None where nobody wrote it down."""
    reference: str | None

    def is_of(self, other: Source) -> bool:
        """Whether the same one collected it, as far as is known."""
        return None in {self.collector, other.collector} or self.collector == other.collector

    def may_be(self, other: Source) -> bool:
        """Whether it can be the same money, as far as is known."""
        unsaid = None in {self.collector, other.collector, self.reference, other.reference}
        return self.is_of(other) and (unsaid or self.reference == other.reference)


UNKNOWN = Source(None, None)
AT_THE_CLUB = Source("club", None)
"""Cash, or whatever else somebody there takes."""


class SecondCollection(NamedTuple):
    """Money that came for a payment that was PAID; it has to go back, and has if it says when."""

    number: int
    source: Source
    collected_at: str
    returned_at: str | None
