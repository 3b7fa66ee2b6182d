"""Three clubs, and a chain that has two of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.conftest import WORKER
from tests.infra.chain.scenes import Chain, Member, admin, made


@pytest.fixture
def chain(server: str, template: str, empty_database: str) -> Iterator[Chain]:
    """A chain with two clubs, which have done a little each; nothing of it is taken in yet."""
    found = Chain(empty_database)
    names = [f"club_of_chain_{WORKER}_{number}" for number in (1, 2)]
    urls = [made(server, template, name, seed=seed) for seed, name in enumerate(names)]

    async def join() -> None:
        async with found.intake():
            for seed, name in enumerate(("north", "south")):
                await found.join(Member(name, urls[seed], seed=seed))

    asyncio.run(join())
    yield found
    for name in names:
        admin(server, f"DROP DATABASE {name} WITH (FORCE)")
