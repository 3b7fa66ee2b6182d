"""Payments in: a provider's signed messages move payments, whatever else is in the queue."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import aio_pika
import orjson
import psycopg
import pytest
from aio_pika.abc import AbstractChannel
from pamqp import encode
from structlog.testing import capture_logs

from application.providers import DisableProvider
from domain.aggregate import time_text
from infra.bootstrap import open_club
from infra.servers import local_servers
from infra.settings import Settings
from interfaces.amqp.envelope import DEEPEST_HEADER
from interfaces.amqp.intake import LARGEST_BODY, PREFETCH
from interfaces.amqp.topology import (
    DELAYS,
    PARKING_QUEUE,
    PAYMENTS_EXCHANGE,
    PAYMENTS_QUEUE,
    retry_queue,
)
from tests.databases import takes_writes
from tests.interfaces.amqp.post import (
    Post,
    consuming,
    hours_ago,
    opened_post,
    wait_for,
)
from tests.rabbitmq import private_rabbitmq, waiting_in
from tests.waiting import until


async def test_a_signed_message_settles_its_payment_and_lets_the_client_in(post: Post) -> None:
    payment_id, client_id = await post.payment()
    async with consuming(post.club):
        await post.send(post.news(payment_id, at=hours_ago(1)))
        await post.reaches(payment_id, "PAID")
    assert await post.standing(client_id) == "ACTIVE"
    told = await post.rows(
        "SELECT topic, actor, correlation_id FROM ledger_events ORDER BY notification_id DESC"
        " LIMIT 3"
    )
    steps = ["payment.settled", "client.admitted", "client.activated"]
    assert [topic for topic, _, _ in reversed(told)] == steps
    assert {actor for _, actor, _ in told} == {"provider-acme"}
    assert len({correlation_id for _, _, correlation_id in told}) == 1


async def test_a_provider_may_say_more_than_we_know_and_write_moments_as_the_standard_allows(
    post: Post,
) -> None:
    payment_id, _ = await post.payment()
    news = post.news(payment_id, at=hours_ago(1).lower())
    news["data"] |= {"amount": "49.90", "currency": "EUR", "customer": {"id": 7}}
    async with consuming(post.club):
        await post.send(news)
        await post.reaches(payment_id, "PAID")
    assert await post.parked() == []


async def test_another_reference_for_what_is_paid_is_a_second_collection(post: Post) -> None:
    payment_id, _ = await post.payment()
    async with consuming(post.club):
        for reference in ("pi_1", "pi_1", "pi_2"):
            news = post.news(payment_id)
            news["data"]["reference"] = reference
            await post.send(news)
        await post.reaches(payment_id, "PAID")
        await wait_for(post.channel, PAYMENTS_QUEUE, 0)
    told = await post.rows("SELECT collector, reference FROM second_collections")
    assert (len(told), {collector for collector, _ in told}) == (1, {"provider-acme"})
    assert await post.parked() == []


async def test_a_message_that_comes_many_times_happens_once(post: Post) -> None:
    payment_id, _ = await post.payment()
    async with open_club(post.club.settings) as twin, consuming(post.club), consuming(twin):
        await post.send(post.news(payment_id), times=100)
        await post.reaches(payment_id, "PAID")
        await post.send(post.news(payment_id), times=10)
    await _have_the_rest_done(post)
    assert [await post.happened(topic) for topic in ("payment.settled", "client.admitted")] == [
        1,
        1,
    ]
    assert await post.parked() == []


async def _have_the_rest_done(post: Post) -> None:
    """Have done what the consumers gave back when they closed."""
    async with consuming(post.club):
        await wait_for(post.channel, PAYMENTS_QUEUE, 0)


async def test_messages_out_of_order_end_as_in_the_right_order(post: Post) -> None:
    payment_id, client_id = await post.payment()
    news = [
        post.news(payment_id, status, at=hours_ago(hours))
        for status, hours in (("REFUNDED", 1), ("PAID", 1.5), ("FAILED", 1.8))
    ]
    async with consuming(post.club):
        for one in news:
            await post.send(one)
        await post.reaches(payment_id, "REFUNDED")
        await wait_for(post.channel, PAYMENTS_QUEUE, 0)
    assert await post.standing(client_id) == "EXPIRED"
    assert await post.parked() == []


# --- what can never work -----------------------------------------------------------------------


def _unusable(post: Post, payment_id: int) -> Iterator[tuple[str, Any, dict[str, Any] | None]]:
    """Why each message is parked, the message, and its headers, unless it is simply signed."""
    good = post.news(payment_id)
    body = orjson.dumps(good)
    signed = post.signed(body)
    yield "unsigned", body, {}
    yield "unsigned", body, post.signed(body, secret=b"another secret")
    yield "unsigned", body + b" ", signed
    yield "unsigned", body, {**signed, "provider": "nobody"}
    yield "unsigned", body, {**signed, "webhook-id": ["msg"], "webhook-timestamp": {"a": 1}}
    yield "stale", body, post.signed(body, ago=25 * 3600)
    yield "stale", body, post.signed(body, ago=-3600)
    for broken in (b"", b"\xff\xfe", b"{", b"not json", b"[" * 100_000):
        yield "broken-json", broken, None
    for wrong in ([], [good], {}, 1, "text", None, {**good, "data": [1]}):
        yield "invalid-message", orjson.dumps(wrong), None
    for name in ("specversion", "id", "source", "type", "time", "data"):
        yield "invalid-message", {k: v for k, v in good.items() if k != name}, None
        yield "invalid-message", {**good, name: 7}, None
    for data in ({"payment_id": str(payment_id), "payment_status": "PAID"}, {"payment_id": 2**31}):
        yield "invalid-message", {**good, "data": data}, None
    yield "invalid-message", post.news(payment_id, "BOUGHT"), None
    yield "invalid-message", {**good, "data": dict.fromkeys(map(str, range(50_000)))}, None
    yield "unknown-type", {**good, "type": "payment.dreamt"}, None
    yield "too-large", b"x" * (LARGEST_BODY + 1), None
    yield "unknown-reference", post.news(999), None
    tomorrow = time_text(datetime.now(UTC) + timedelta(days=1))
    yield "not-yet", post.news(payment_id, at=tomorrow), None


async def test_what_can_never_work_is_parked_as_it_is_and_the_next_is_done(post: Post) -> None:
    payment_id, _ = await post.payment()
    expected = []
    for reason, message, headers in _unusable(post, payment_id):
        body = await post.send(message, headers, correlation_id="mine", type="news")
        expected.append((reason, body))
    async with consuming(post.club):
        await post.send(post.news(payment_id))
        await post.reaches(payment_id, "PAID")
        await wait_for(post.channel, PARKING_QUEUE, len(expected))
    parked = await post.parked()
    key = lambda pair: (pair[0], len(pair[1]), pair[1])  # noqa: E731
    assert sorted(((p.reason, p.body) for p in parked), key=key) == sorted(expected, key=key)
    assert {p.queue for p in parked} == {PAYMENTS_QUEUE}
    assert all(p.detail and len(p.detail) <= 1000 and p.parked_at for p in parked)
    assert len({p.id for p in parked}) == len(parked)
    assert await post.happened("payment.settled") == 1


async def test_a_parked_message_keeps_its_own_headers_and_properties(post: Post) -> None:
    headers = {"provider": "acme", "n": 2**40, "list": [1, "a"], "table": {"x": True}, "void": None}
    given: dict[str, Any] = {"correlation_id": "c", "message_id": "m", "type": "t", "app_id": "a"}
    async with consuming(post.club):
        await post.send(b"body", headers, content_type="text/plain", **given)
        parked = await post.is_parked()
    assert (parked.headers, parked.body) == (headers, b"body")
    message = await (await post.channel.get_queue(PARKING_QUEUE)).get()
    assert {name: getattr(message, name) for name in given} == given
    assert message.content_type == "text/plain"


async def test_an_impossible_step_is_parked_and_changes_nothing(post: Post) -> None:
    payment_id, _ = await post.payment()
    async with consuming(post.club):
        for status, hours in (("PAID", 1.5), ("REFUNDED", 1)):
            await post.send(post.news(payment_id, status, at=hours_ago(hours)))
            await post.reaches(payment_id, status)
        await post.send(post.news(payment_id, "PAID", at=hours_ago(0)))
        parked = await post.is_parked()
    assert parked.reason == "impossible-step"
    assert parked.detail == "A payment that is REFUNDED cannot become PAID."
    assert await post.status(payment_id) == "REFUNDED"


async def test_an_id_that_was_used_for_other_news_is_parked(post: Post) -> None:
    payment_id, _ = await post.payment()
    async with consuming(post.club):
        await post.send(post.news(payment_id, id="evt"))
        await post.reaches(payment_id, "PAID")
        await post.send(post.news(payment_id, "REFUNDED", id="evt"))
        assert (await post.is_parked()).reason == "key-reused"
    assert await post.status(payment_id) == "PAID"


async def test_a_disabled_provider_moves_nothing(post: Post) -> None:
    payment_id, _ = await post.payment()
    await post.do(DisableProvider("acme"))
    async with consuming(post.club):
        await post.send(post.news(payment_id))
        assert (await post.is_parked()).reason == "unsigned"
    assert await post.status(payment_id) == "PENDING"


def _table(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


def _nested(depth: int) -> bytes:
    table = _table(b"")
    for _ in range(depth):
        table = _table(b"\x01aF" + table)
    return table


@pytest.mark.parametrize(
    "table",
    [
        _table(b"\x01aS" + _table(b"\xff\xfe")),
        _table(b"\x01\xffS" + _table(b"x")),
        _table(b"\x01aT" + struct.pack(">Q", 2**63)),
        _table(b"\x01aA" + _table(b"S" + _table(b"\xff"))),
        *(_nested(depth) for depth in (DEEPEST_HEADER + 1, 400, *range(480, 500), 5000)),
        _table(b"\x01aS" + _table(b"x" * 130_900)),
        _table(b"".join(b"\x04%04dS" % n + _table(b"x" * 55) for n in range(2010))),
    ],
)
async def test_headers_that_no_client_could_send_on_stop_nothing(post: Post, table: bytes) -> None:
    payment_id, _ = await post.payment()
    await post.send_unencoded(table, b"as it is")
    async with consuming(post.club):
        await post.send(post.news(payment_id))
        await post.reaches(payment_id, "PAID")
        parked = await post.is_parked()
    assert (parked.reason, parked.body) == ("unsigned", b"as it is")
    assert await waiting_in(post.channel, PAYMENTS_QUEUE) == 0


async def test_a_routing_key_that_is_no_text_stops_nothing(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment_id, _ = await post.payment()
    with monkeypatch.context() as encoding:
        encoding.setitem(encode.METHODS, "shortstr", _in_any_bytes)
        exchange = await post.channel.get_exchange(PAYMENTS_EXCHANGE)
        await exchange.publish(aio_pika.Message(b"as it is"), "pay\udcff")
    async with consuming(post.club):
        await post.send(post.news(payment_id))
        await post.reaches(payment_id, "PAID")
        parked = await post.is_parked()
    assert (parked.reason, parked.body) == ("unsigned", b"as it is")


def _in_any_bytes(text: str) -> bytes:
    written = text.encode(errors="surrogateescape")
    return bytes([len(written)]) + written


async def test_a_body_of_50_mb_is_parked_unread_where_rabbitmq_takes_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_servers, "LARGEST_MESSAGE", 64 * 1024 * 1024)
    body = b"x" * 50_000_000
    with private_rabbitmq() as server:
        async with await aio_pika.connect(server.url) as connection:
            channel = await connection.channel(on_return_raises=True)
            async with opened_post(settings, server.url, channel) as post:
                payment_id, _ = await post.payment()
                async with consuming(post.club):
                    await post.send(body)
                    await post.send(post.news(payment_id))
                    await post.reaches(payment_id, "PAID")
                    parked = await post.is_parked()
    assert (parked.reason, parked.body == body) == ("too-large", True)


# --- what may work later -----------------------------------------------------------------------


async def test_while_the_database_is_away_messages_wait_in_hand(post: Post, server: str) -> None:
    payment_id, _ = await post.payment()
    name = psycopg.conninfo.conninfo_to_dict(post.club.postgres.url)["dbname"]

    async def waited_twice() -> bool:
        return [entry["event"] for entry in logged].count("amqp.waiting") >= 2

    async with consuming(post.club):
        with capture_logs() as logged:
            _open_to_all(server, str(name), can_connect=False)
            await post.send(post.news(payment_id))
            await until(waited_twice, "the message waits")
        for attempt in range(1, len(DELAYS) + 1):
            assert await waiting_in(post.channel, retry_queue(PAYMENTS_QUEUE, attempt)) == 0
        _open_to_all(server, str(name), can_connect=True)
        await until(lambda: takes_writes(post.club), "the database answers")
        await post.reaches(payment_id, "PAID")
    assert await post.parked() == []
    assert await post.happened("client.admitted") == 1


async def test_a_slow_database_slows_the_intake(post: Post, database: str) -> None:
    payment_id, _ = await post.payment()
    async with consuming(post.club):
        with psycopg.connect(database) as other:
            other.execute("LOCK TABLE ledger_events IN ACCESS EXCLUSIVE MODE")
            for _ in range(PREFETCH + 50):
                await post.send(post.news(payment_id))
            await wait_for(post.channel, PAYMENTS_QUEUE, 50)
        await post.reaches(payment_id, "PAID")
        await wait_for(post.channel, PAYMENTS_QUEUE, 0)
    assert await post.happened("payment.settled") == 1


def _open_to_all(server: str, database: str, *, can_connect: bool) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS {can_connect}".encode())
        if not can_connect:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                [database],
            )


async def test_a_consumer_whose_connection_is_cut_in_mid_flight_does_each_message_once(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    payments = [await post.payment() for _ in range(3)]
    connected: list[Any] = []
    cut: list[Any] = []
    connect = aio_pika.Connection.connect

    async def remembered(connection: aio_pika.Connection, *args: Any, **kwargs: Any) -> None:
        await connect(connection, *args, **kwargs)
        connected.append(connection)

    append, committed = post.club.ledger.append, asyncio.Event()

    async def append_and_cut(submission: Any) -> int:
        position = await append(submission)
        if not committed.is_set():
            committed.set()
            # It is in the ledger, and not acknowledged yet.
            cut.extend(connected)
            for connection in cut:
                await connection.close(ConnectionError("cut"))
        return position

    monkeypatch.setattr(aio_pika.Connection, "connect", remembered)
    monkeypatch.setattr(post.club.ledger, "append", append_and_cut)
    async with consuming(post.club):
        for payment_id, _ in payments:
            await post.send(post.news(payment_id))
        await asyncio.wait_for(committed.wait(), 10)
        for payment_id, _ in payments:
            await post.reaches(payment_id, "PAID")
        await until(partial(_is_longer, connected, cut), "it is connected again")
    await _have_the_rest_done(post)
    assert await post.happened("payment.settled") == 3
    assert await post.happened("client.admitted") == 3
    assert await waiting_in(post.channel, PAYMENTS_QUEUE) == 0


async def _is_longer(found: list[Any], than: list[Any]) -> bool:
    return len(found) > len(than)


async def test_a_queue_that_somebody_deletes_is_made_again_and_served(
    post: Post, channel: AbstractChannel
) -> None:
    payment_id, _ = await post.payment()
    async with consuming(post.club):
        await until(lambda: _served(channel), "somebody consumes")
        await channel.queue_delete(PAYMENTS_QUEUE)
        await until(lambda: _there(post), "the queue is there again")
        await post.send(post.news(payment_id))
        await post.reaches(payment_id, "PAID")


async def _served(channel: AbstractChannel) -> bool:
    declared = await channel.declare_queue(PAYMENTS_QUEUE, passive=True)
    return bool(declared.declaration_result.consumer_count)


async def _there(post: Post) -> bool:
    url = post.club.settings.amqp_url
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        try:
            return await _served(channel)
        except aio_pika.exceptions.ChannelNotFoundEntity:
            return False
