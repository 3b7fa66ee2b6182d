"""Homes for services, with nothing left running in them."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count

import pytest

from tests.acceptance.service import Service


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Service]]:
    """Makes services, each in a new home; all of them are ended with the module."""
    folder = tmp_path_factory.mktemp("homes")
    for above in (folder, *folder.parents):
        # As root, Postgres runs under another account and has to get here.
        if not above.stat().st_mode & stat.S_IXOTH:
            above.chmod(above.stat().st_mode | stat.S_IXOTH)
    numbers = count(1)
    with ExitStack() as stack:

        def make(**settings: str) -> Service:
            service = Service(folder / f"home-{next(numbers)}", **settings)
            stack.callback(service.close)
            return service

        yield make
