"""Doing many things at once, with a progress bar."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

T = TypeVar("T")

AT_ONCE = 256
"""So many share a commit and a batch of the read tables."""


async def together(
    things: Sequence[T], work: Callable[[T], Awaitable[None]], *, called: str
) -> None:
    """Do the work for each of the things, many at once; the first fault ends it."""
    waiting = iter(things)
    with progress_bar(called) as progress:
        task = progress.add_task(called, total=len(things))

        async def one_after_another() -> None:
            for thing in waiting:
                await work(thing)
                progress.advance(task)

        workers = [asyncio.create_task(one_after_another()) for _ in range(AT_ONCE)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()


def progress_bar(called: str) -> Progress:
    """How far something is, on standard error."""
    columns = (TextColumn(called), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True))
