"""Faults that people are told of in a sentence."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any


class Fault(Exception):
    """Something that the club needs cannot be had."""

    def __init__(self, **case: object) -> None:
        """The docstring is the message, with the facts of the case filled in."""
        super().__init__(inspect.cleandoc(type(self).__doc__ or "").format(**case))
        self._case = case

    def __reduce__(self) -> tuple[Any, ...]:
        """Celery's workers tell each other of it."""
        return partial(type(self), **self._case), ()
