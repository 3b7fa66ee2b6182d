"""Heads out: each signed head is kept by others, in order, at least once, whatever breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import orjson
import pytest
from aio_pika.abc import AbstractChannel
from jsonschema import Draft7Validator
from pydantic import ValidationError

from application.exercises import AddExercise, ExerciseBody
from infra.bootstrap import Club, open_club
from infra.parts import RELAY, SEALS_OUT
from infra.proofs.check import check_head
from infra.proofs.heads import OUT, Head
from infra.settings import Settings
from interfaces.amqp.asyncapi.document import document
from interfaces.amqp.main import run_relay
from tests.conftest import Rest
from tests.infra.ledger.scenes import look
from tests.proxy import Proxy, proxy
from tests.rabbitmq import waiting_in
from tests.waiting import until

PATIENCE = 30.0
ROUTE = "sealed.elsewhere/heads/of the club"


@dataclass
class Sealer:
    """Somebody who has a club whose heads have a route, and seals by hand."""

    club: Club

    @classmethod
    @asynccontextmanager
    async def of(cls, settings: Settings, url: str, route: str = ROUTE) -> AsyncIterator[Sealer]:
        ours = settings.model_copy(update={"amqp_url": url, "seals_route": route})
        async with open_club(ours, reporting=True) as club:
            yield cls(club)

    async def seal(self) -> Head:
        """Have something happen, and sign it."""
        title = f"Exercise {await self.club.ledger.head()}"
        rest = Rest(self.club, None)  # type: ignore[arg-type]
        await rest.do(AddExercise(ExerciseBody(title=title)))
        async with await self.club.postgres.connect() as connection:
            head = await (await self.club.sealing()).seal_now(connection)
        assert head is not None
        return head

    @asynccontextmanager
    async def relaying(self) -> AsyncIterator[asyncio.Task[None]]:
        running = asyncio.create_task(run_relay(self.club, closing := asyncio.Event()))
        try:
            yield running
        finally:
            closing.set()
            await asyncio.wait({running}, timeout=PATIENCE)
            assert running.done()

    async def says(self, words: str | None, name: str = SEALS_OUT) -> bool:
        """Whether health says this of the part."""
        shown = (await self.club.health()).report["components"][name]
        if words is None:
            return bool(shown["status"] == "running")
        return words in shown.get("detail", "")

    async def all_out(self, head: Head) -> bool:
        """Whether it is written down that this head is kept."""
        rows = await self.club.postgres.rows(
            "SELECT position FROM relay_positions WHERE name = %s", [OUT]
        )
        return rows == [(head.size,)]


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def through(way: Proxy, url: str) -> str:
    """The same server, the way that can be cut."""
    return url.replace(str(port_of(url)), str(way.port))


@pytest.fixture
def way(rabbitmq: str) -> Iterator[Proxy]:
    with proxy(port_of(rabbitmq)) as opened:
        yield opened


async def bound(channel: AbstractChannel, name: str) -> None:
    """Have a queue keep what goes to the route."""
    queue = await channel.declare_queue(name, durable=True)
    await queue.bind("sealed.elsewhere", "heads/of the club")


async def kept(channel: AbstractChannel, name: str, many: int) -> list[dict[str, Any]]:
    """All that has come into a queue, which is gone then."""
    queue = await channel.declare_queue(name, durable=True)
    found = []
    for _ in range(many):
        message = await queue.get(timeout=PATIENCE, no_ack=True)
        assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
        assert message.content_type == "application/cloudevents+json"
        found.append(orjson.loads(message.body))
        assert (message.message_id, message.type) == (found[-1]["id"], "ledger.sealed")
    assert await waiting_in(channel, name) == 0
    await queue.delete()
    await channel.exchange_delete("sealed.elsewhere")
    return found


async def test_a_head_that_nobody_keeps_is_not_out(
    settings: Settings, channel: AbstractChannel, amqp_url: str
) -> None:
    async with Sealer.of(settings, amqp_url) as sealer:
        assert await sealer.says("no process publishes the heads")
        heads = [await sealer.seal()]
        async with sealer.relaying():
            await until(partial(sealer.says, "no queue takes what goes to the"), "it says why")
            # Neither sealing nor events wait for it.
            heads.append(await sealer.seal())
            await until(partial(sealer.says, None, RELAY), "events go out")
            await bound(channel, "kept")
            await until(partial(sealer.all_out, heads[-1]), "all are out")
            await until(partial(sealer.says, None), "and it says so")
    out = await kept(channel, "kept", 2)
    assert [Head.of(one["data"]) for one in out] == heads


async def test_each_head_goes_out_in_order_across_faults_and_restarts(
    settings: Settings, channel: AbstractChannel, way: Proxy, amqp_url: str
) -> None:
    await channel.declare_exchange("sealed.elsewhere", aio_pika.ExchangeType.TOPIC, durable=True)
    await bound(channel, "kept")
    async with Sealer.of(settings, through(way, amqp_url)) as sealer:
        async with sealer.relaying():
            heads = [await sealer.seal()]
            await until(partial(sealer.all_out, heads[-1]), "it is out")
            way.redirect(Path("nowhere"))
            way.cut()
            await until(partial(sealer.says, "RabbitMQ cannot be reached"), "it says so")
            heads += [await sealer.seal(), await sealer.seal()]
            way.redirect(port_of(amqp_url))
            await until(partial(sealer.all_out, heads[-1]), "all are out")
        heads.append(await sealer.seal())
    # Another process, later.
    async with Sealer.of(settings, amqp_url) as sealer, sealer.relaying():
        heads.append(await sealer.seal())
        await until(partial(sealer.all_out, heads[-1]), "all are out")
        key = await sealer.club.sealing_key()
    out = await kept(channel, "kept", len(heads))
    assert key is not None
    assert [Head.of(one["data"]) for one in out] == heads
    assert len({one["id"] for one in out}) == len(heads)
    for one, head in zip(out, heads, strict=True):
        assert check_head(one["data"], key.public) == (head.size, head.root)
        assert one["sequence"] == f"{head.size:020d}"
    told = orjson.loads(orjson.dumps(document()))["components"]["messages"]["ledger.sealed"]
    assert [list(Draft7Validator(told["payload"]).iter_errors(one)) for one in out] == [[]] * 5


async def test_what_was_kept_and_not_written_down_goes_out_again(
    settings: Settings, channel: AbstractChannel, amqp_url: str, database: str
) -> None:
    await channel.declare_queue("straight", durable=True)
    async with Sealer.of(settings, amqp_url, "/straight") as sealer:
        first, second = await sealer.seal(), await sealer.seal()
        async with sealer.relaying():
            await until(partial(sealer.all_out, second), "both are out")
        # As it is where a relay is killed between a confirmation and its commit.
        look(database, "UPDATE relay_positions SET position = %s WHERE name = %s", first.size, OUT)
        async with sealer.relaying():
            await until(partial(sealer.all_out, second), "both are out")
        # A ledger that was restored has neither the last head nor what was written down of it.
        look(database, "UPDATE relay_positions SET position = 999 WHERE name = %s", OUT)
        async with sealer.relaying():
            await until(partial(sealer.all_out, second), "it went back to the last head")
            third = await sealer.seal()
            await until(partial(sealer.all_out, third), "all are out")
    out = await kept(channel, "straight", 4)
    assert [one["data"]["size"] for one in out] == [
        first.size,
        second.size,
        second.size,
        third.size,
    ]
    assert out[1] == out[2]


async def test_an_exchange_of_somebody_else_s_is_taken_as_it_is(
    settings: Settings, channel: AbstractChannel, amqp_url: str
) -> None:
    fanout = await channel.declare_exchange(
        "vault", aio_pika.ExchangeType.FANOUT, durable=False, auto_delete=True
    )
    await (await channel.declare_queue("vaulted", durable=True)).bind(fanout)
    async with Sealer.of(settings, amqp_url, "vault/any") as sealer, sealer.relaying():
        head = await sealer.seal()
        await until(partial(sealer.all_out, head), "it is out")
    (out,) = await kept(channel, "vaulted", 1)
    assert Head.of(out["data"]) == head


@pytest.mark.parametrize("route", ["heads", "club.seals/", "/", f"{'x' * 200}/heads", "a/\n"])
def test_what_leads_nowhere_is_refused(route: str) -> None:
    with pytest.raises(ValidationError, match="this is no route"):
        Settings(seals_route=route)
