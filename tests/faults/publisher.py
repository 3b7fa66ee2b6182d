"""The provider: publishes a file of messages, each until RabbitMQ has confirmed it.

Run as `python -m tests.faults.publisher URL FILE`. Each line on standard input is a number: how
many messages to have published by then. What is confirmed is told on standard output.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import sys
from pathlib import Path

import aio_pika
from aio_pika.abc import AbstractExchange
from aio_pika.exceptions import AMQPException

EXCHANGE, KEY = "club.payments", "payment.reported"
IN_FLIGHT = 100
TELL_EVERY = 10
RETRY = 0.2
LOST = (AMQPException, OSError, RuntimeError, asyncio.TimeoutError)


class Publisher:
    """What has been confirmed so far."""

    def __init__(self, url: str, messages: list[aio_pika.Message]) -> None:
        self._url = url
        self._messages = messages
        self._confirmed: set[int] = set()

    async def come_to(self, goal: int) -> None:
        """Publish all messages before this one, again and again until each is confirmed."""
        while missing := [n for n in range(goal) if n not in self._confirmed]:
            try:
                async with await aio_pika.connect(self._url, timeout=5) as connection:
                    channel = await connection.channel(on_return_raises=True)
                    exchange = await channel.get_exchange(EXCHANGE)
                    await self._publish(missing, exchange)
            except* LOST:
                await asyncio.sleep(RETRY)

    async def _publish(self, numbers: list[int], exchange: AbstractExchange) -> None:
        free = asyncio.Semaphore(IN_FLIGHT)

        async def publish(number: int) -> None:
            try:
                await exchange.publish(self._messages[number], routing_key=KEY)
            finally:
                free.release()
            self._confirmed.add(number)
            if len(self._confirmed) % TELL_EVERY == 0:
                self.tell()

        async with asyncio.TaskGroup() as tasks:
            for number in numbers:
                await free.acquire()
                tasks.create_task(publish(number))

    def tell(self) -> None:
        print(len(self._confirmed), flush=True)


def read(path: Path) -> list[aio_pika.Message]:
    """The messages of a file."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        aio_pika.Message(
            base64.b64decode(one["body"]),
            headers=one["headers"],
            message_id=one["id"],
            content_type="application/cloudevents+json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        for one in found
    ]


async def main(url: str, path: Path) -> None:
    publisher = Publisher(url, read(path))
    publisher.tell()
    while line := await asyncio.to_thread(sys.stdin.readline):
        await publisher.come_to(int(line))
        publisher.tell()


if __name__ == "__main__":
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # a lost connection is no news here
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
