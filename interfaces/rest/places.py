"""How many requests are worked on at once: by all callers together, and by each of them.

What is still being sent, or is done and only being read, takes no place; nor does what waits for
the read tables. So nobody takes the club away by being slow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from application.limits import TooManyAtOnce, network
from application.ports.ledger import Overloaded

PLACE = "place"
"""Where a request's state keeps its place."""

MOST_UNDER_WAY = 1000
"""Requests that are worked on at a time; the next are refused rather than kept waiting."""

MOST_OF_ONE = 250
"""Of these for one caller, and as many more that only wait: it takes several to fill the club, and
a program that is given 250 connections is answered no faster with more."""


class Places:
    """The places of one process."""

    def __init__(self, most: int = MOST_UNDER_WAY, most_of_one: int = MOST_OF_ONE) -> None:
        self.most = most
        self.most_of_one = most_of_one
        self.taken = 0
        self.worked_on: Counter[Hashable] = Counter()
        """For each caller who is known: how many of the places are theirs."""
        self.waiting: Counter[Hashable] = Counter()
        """For each caller: how many of their requests have stepped aside."""


class Place:
    """The place of one request, which is given back as soon as its answer is known."""

    __slots__ = ("_places", "_taken", "_whose")

    def __init__(self, places: Places) -> None:
        self._places = places
        self._taken = False
        self._whose: Hashable = None

    def take(self, *, always: bool = False) -> None:
        """Be worked on from here on, `always` or where there is room; raises Overloaded."""
        if self._places.taken >= self._places.most and not always:
            raise Overloaded
        self._places.taken += 1
        self._taken = True

    def belongs_to(self, user_id: int | None, address: str) -> None:
        """Say who is asking; raises TooManyAtOnce.

        Where nobody knows the user, it is the network, and raises Overloaded: it may be that of
        many people, of whom none has done too much.
        """
        whose = user_id or network(address)
        if self._places.worked_on[whose] >= self._places.most_of_one:
            raise TooManyAtOnce if user_id else Overloaded
        self._whose = whose
        self._places.worked_on[whose] += 1

    def leave(self) -> None:
        """Give it back, unless that was done."""
        if not self._taken:
            return
        self._taken = False
        self._places.taken -= 1
        if self._whose is not None:
            _one_less(self._places.worked_on, self._whose)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Wait without taking a place; raises TooManyAtOnce where too many of the caller's do.

        Whoever comes back is let in at once: they were counted when they came.
        """
        places, whose = self._places, self._whose
        if places.waiting[whose] >= places.most_of_one:
            raise TooManyAtOnce
        self.leave()
        places.waiting[whose] += 1
        try:
            yield
        finally:
            _one_less(places.waiting, whose)
            self.take(always=True)
            places.worked_on[whose] += 1


def _one_less(counter: Counter[Hashable], whose: Hashable) -> None:
    counter[whose] -= 1
    if not counter[whose]:
        del counter[whose]
