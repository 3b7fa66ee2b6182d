"""What the tests of RabbitMQ share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aio_pika.abc import AbstractChannel

from infra.settings import Settings
from tests.interfaces.amqp.post import Post, opened_post


@pytest.fixture
async def post(settings: Settings, amqp_url: str, channel: AbstractChannel) -> AsyncIterator[Post]:
    """An open club that has a RabbitMQ and the provider acme; nobody consumes yet."""
    async with opened_post(settings, amqp_url, channel) as opened:
        yield opened
