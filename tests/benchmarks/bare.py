"""What RabbitMQ and its client do by themselves: the other side of our consumer and our relay.

Run as `python -m tests.benchmarks.bare URL consume QUEUE MANY` or `… URL publish QUEUE MANY
EXCHANGE`; prints the seconds that it took. The process, the client, the messages, how many are in
hand and what is durable are as with ours; nothing is verified, decided, recorded or looked up.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aio_pika
import uvloop
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from infra.following.relaying import BATCH
from interfaces.amqp.intake import PREFETCH


async def consume(channel: AbstractChannel, queue: str, many: str) -> float:
    """Take so many messages and acknowledge each."""
    _, seconds = await _taken(channel, queue, int(many))
    return seconds


async def publish(channel: AbstractChannel, queue: str, many: str, exchange: str) -> float:
    """Publish once more so many messages of the queue, in the same order, each confirmed."""
    took, _ = await _taken(channel, queue, int(many))
    messages = [(_again(message), message.routing_key or "") for message in took]
    outgoing = await channel.get_exchange(exchange)
    started = time.perf_counter()
    for first in range(0, len(messages), BATCH):
        together = messages[first : first + BATCH]
        await asyncio.gather(
            *(outgoing.publish(message, key, mandatory=False) for message, key in together)
        )
    return time.perf_counter() - started


async def _taken(
    channel: AbstractChannel, name: str, many: int
) -> tuple[list[AbstractIncomingMessage], float]:
    took: list[AbstractIncomingMessage] = []
    done = asyncio.Event()

    async def take(message: AbstractIncomingMessage) -> None:
        await message.ack()
        took.append(message)
        if len(took) == many:
            done.set()

    await channel.set_qos(prefetch_count=PREFETCH)
    queue = await channel.get_queue(name)
    started = time.perf_counter()
    tag = await queue.consume(take)
    await done.wait()
    await queue.cancel(tag)  # answered after all that was acknowledged before
    return took, time.perf_counter() - started


def _again(message: AbstractIncomingMessage) -> aio_pika.Message:
    return aio_pika.Message(
        message.body,
        headers=message.headers,
        content_type=message.content_type,
        delivery_mode=message.delivery_mode,
        message_id=message.message_id,
        type=message.type,
    )


WHAT: dict[str, Callable[..., Awaitable[float]]] = {"consume": consume, "publish": publish}


async def main(url: str, what: str, *arguments: Any) -> None:
    async with await aio_pika.connect(url) as connection:
        print(await WHAT[what](await connection.channel(), *arguments))


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
