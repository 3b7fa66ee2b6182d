"""What the tests of a chain's routes share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from infra.chain.reading import Chain, open_reading
from infra.settings import Settings
from interfaces.rest.assembly import Outside
from interfaces.rest.chain.main import create_chain_app
from tests.interfaces.rest.chain.scenes import Headers, Reading, make_chain


@pytest.fixture
def chain_settings(settings: Settings, empty_database: str) -> Settings:
    """Settings of a chain in an empty database, whose home is that of a club, too."""
    return settings.model_copy(
        update={"chain_database_url": empty_database, "timezone": "Europe/Berlin"}
    )


@pytest.fixture
async def chain(chain_settings: Settings) -> AsyncIterator[Chain]:
    """A chain without clubs, open to be read."""
    await make_chain(str(chain_settings.chain_database_url))
    async with open_reading(chain_settings) as opened:
        yield opened


@pytest.fixture
async def reading(chain: Chain) -> AsyncIterator[Reading]:
    """The REST API of an open chain."""
    transport = httpx.ASGITransport(
        app=create_chain_app(chain, Outside()), raise_app_exceptions=False
    )
    async with httpx.AsyncClient(transport=transport, base_url="http://chain") as http:
        yield Reading(chain, http)


@pytest.fixture
def url(chain_settings: Settings) -> str:
    """Where the chain's database is."""
    return str(chain_settings.chain_database_url)


@pytest.fixture
async def analyst(reading: Reading) -> Headers:
    """The header of an ANALYST."""
    return (await reading.person())[1]
