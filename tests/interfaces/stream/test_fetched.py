"""Whatever somebody wrote into the topic, what is behind it comes."""

from __future__ import annotations

import asyncio
import subprocess
import sys

from infra.chain.kafka import Topic
from infra.chain.records import LONGEST, KeptOut
from infra.settings import Settings
from interfaces.stream.main import arrived
from tests.interfaces.stream.working import working
from tests.kafka import private_kafka, put_in_topic

# No client that is well writes these, and aiokafka's in Python can be talked into it.
UNREADABLE = """
import asyncio, os, sys
os.environ["AIOKAFKA_NO_EXTENSIONS"] = "1"
from aiokafka import AIOKafkaProducer
from aiokafka.record import default_records

class NoText(str):
    def encode(self, *_): return b"\\xff\\xfe"

async def send(header, **how):
    async with AIOKafkaProducer(bootstrap_servers=sys.argv[1], **how) as producer:
        await producer.send_and_wait("club.ledger", b"x" * 3000, key=b"k", headers=[(header, b"1")])

async def main():
    for codec in ("zstd", "lz4", "snappy", "gzip"):
        await send("well", compression_type=codec)
    default_records.zstd_encode = lambda content: b"no zstd" * 9
    await send("well", compression_type="zstd")
    await send(NoText("x"))

asyncio.run(main())
"""


async def test_what_cannot_be_decoded_or_is_too_long_is_passed_and_told() -> None:
    with private_kafka() as kafka:
        await Topic(Settings(kafka_url=kafka.url)).make()
        sent = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", UNREADABLE, kafka.brokers], check=False
        )
        assert sent.returncode == 0
        await put_in_topic(kafka, {"key": b"k", "value": bytes(LONGEST + 1)})
        await put_in_topic(kafka, {"key": b"k", "value": b"behind"})
        async with working(kafka, {}) as (worker, _):
            came = [await asyncio.wait_for(worker.messages.get(), 20) for _ in range(8)]
    assert [message.offset for message in came] == list(range(8))
    assert [message.body for message in came[:4]] == [b"x" * 3000] * 4
    assert [str(arrived(message).record) for message in came[4:7]] == [
        "it cannot be decoded (DecompressionError)",
        "it cannot be decoded (UnicodeDecodeError)",
        "it is too long",
    ]
    assert isinstance(arrived(came[4]).record, KeptOut)
    assert came[7].body == b"behind"
