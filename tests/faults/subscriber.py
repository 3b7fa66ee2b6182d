"""Somebody who follows the club: collects every event that goes out."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractQueue
from aio_pika.exceptions import AMQPException

EXCHANGE = "club.events"
QUEUE = "follower"
RETRY = 0.2
LOST = (AMQPException, OSError, RuntimeError, asyncio.TimeoutError)


class Subscriber:
    """A durable queue on all events, and what came out of it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.first: list[dict[str, Any]] = []
        """Each event as it came first, in the order in which they came."""
        self.doubles = 0
        self._seen: set[str] = set()

    async def subscribe(self) -> None:
        """Be there before the first event."""
        async with await aio_pika.connect(self._url) as connection:
            await self._queue(await connection.channel())

    async def run(self) -> None:
        """Collect until cancelled, across everything that breaks."""
        this = asyncio.current_task()
        assert this is not None
        while not this.cancelling():  # the client may answer a cancellation with a RuntimeError
            try:
                async with await aio_pika.connect(self._url, timeout=5) as connection:
                    channel = await connection.channel()
                    await channel.set_qos(prefetch_count=500)
                    queue = await self._queue(channel)
                    async with queue.iterator() as messages:
                        async for message in messages:
                            self._take(message.body)
                            await message.ack()
            except LOST:
                await asyncio.sleep(RETRY)

    def _take(self, body: bytes) -> None:
        event = json.loads(body)
        if event["sequence"] in self._seen:
            self.doubles += 1
            return
        self._seen.add(event["sequence"])
        self.first.append(event)

    async def come_to(self, many: int, patience: float) -> None:
        """Wait until so many different events have come, but no longer than `patience`."""
        deadline = time.monotonic() + patience
        while len(self.first) < many and time.monotonic() < deadline:  # noqa: ASYNC110 - see `_take`
            await asyncio.sleep(0.05)

    async def _queue(self, channel: AbstractChannel) -> AbstractQueue:
        exchange = await channel.declare_exchange(
            EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True
        )
        queue = await channel.declare_queue(
            QUEUE, durable=True, arguments={"x-queue-type": "quorum"}
        )
        await queue.bind(exchange, "#")
        return queue

    def sequences(self) -> list[int]:
        """Positions in the order in which they first came."""
        return [int(event["sequence"]) for event in self.first]

    def happened(self) -> Counter[tuple[str, int]]:
        """How often each event of a payment went out, by its type and the payment's number."""
        return Counter(
            (event["type"], _payment_of(event))
            for event in self.first
            if event["type"].startswith(("payment.", "client.admi"))
        )


def _payment_of(event: dict[str, Any]) -> int:
    told = event["data"].get("payment_id")
    return int(told or event["subject"].rpartition("-")[2])
