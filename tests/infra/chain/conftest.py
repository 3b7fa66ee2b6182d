"""Three clubs, and a chain that has two of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from psycopg.conninfo import make_conninfo

from infra.chain.store import open_chain
from projections.catalogue import GROUPS
from tests.conftest import WORKER
from tests.infra.chain.scenes import Chain, Member, admin, made, project

CLUBS = (0, 1)
"""Seeds of their histories."""


@pytest.fixture(scope="session")
def grown(server: str, template: str) -> Iterator[list[str]]:
    """Databases to copy: two clubs, which have done a little each, and a chain without clubs."""
    names = [f"grown_{WORKER}_{seed}" for seed in (*CLUBS, "chain")]
    for name, seed in zip(names, CLUBS, strict=False):
        asyncio.run(project(made(server, template, name, seed=seed)))
    admin(server, f"DROP DATABASE IF EXISTS {names[-1]} WITH (FORCE)")
    admin(server, f"CREATE DATABASE {names[-1]}")

    async def make() -> None:
        async with open_chain(make_conninfo(server, dbname=names[-1]), GROUPS, building=True):
            pass

    asyncio.run(make())
    yield names
    for name in names:
        admin(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def chain(server: str, grown: list[str]) -> Iterator[Chain]:
    """A chain with two clubs, which have done a little each; nothing of it is taken in yet."""
    names = [f"of_chain_{WORKER}_{number}" for number in range(len(grown))]
    for name, model in zip(names, grown, strict=True):
        admin(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        admin(server, f"CREATE DATABASE {name} TEMPLATE {model}")
    *urls, store = (make_conninfo(server, dbname=name) for name in names)
    found = Chain(store)

    async def join() -> None:
        for name, url, seed in zip(("north", "south"), urls, CLUBS, strict=True):
            await found.join(Member(name, url, seed=seed))

    asyncio.run(join())
    yield found
    for name in names:
        admin(server, f"DROP DATABASE {name} WITH (FORCE)")
