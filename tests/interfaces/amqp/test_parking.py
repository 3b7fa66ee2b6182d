"""The parking queue: looked at, sent again, dropped; nothing gets lost on the way."""

from __future__ import annotations

from functools import partial
from typing import Any

import aio_pika
import pytest
from aio_pika import Message

from infra.bootstrap import Club
from infra.secrets.signatures import ProviderSecrets
from interfaces.amqp.envelope import REPLAYED
from interfaces.amqp.parking import NoneParked, NotOurs, NotParked, Parked, Which, open_parking
from interfaces.amqp.topology import PARKING_QUEUE, PAYMENTS_QUEUE
from tests.interfaces.amqp.post import Post, consuming, hours_ago, wait_for
from tests.rabbitmq import waiting_in


async def park(post: Post, *bodies: bytes) -> list[Parked]:
    """Have messages parked that nobody signed; they are parked in some order."""
    async with consuming(post.club):
        before = await waiting_in(post.channel, PARKING_QUEUE)
        for number, body in enumerate(bodies, start=before + 1):
            await post.send(body, {"of": "nobody"})
            await wait_for(post.channel, PARKING_QUEUE, number)
    return await post.parked()


def url_of(club: Club) -> str:
    assert club.settings.amqp_url is not None
    return club.settings.amqp_url


async def replay(post: Post, *ids: str, reason: str | None = None) -> list[Parked]:
    pass_for = post.club.provider_secrets.pass_for
    renewed = partial(post.club.tokens.renewed, seconds=600)
    async with open_parking(url_of(post.club)) as parking:
        which = Which(frozenset(ids), reason)
        return [sent async for sent in parking.replay(which, pass_for, renewed)]


async def drop(post: Post, *ids: str, reason: str | None = None) -> list[Parked]:
    async with open_parking(url_of(post.club)) as parking:
        return [gone async for gone in parking.drop(Which(frozenset(ids), reason))]


async def test_looking_neither_loses_nor_reorders_nor_wears_out(post: Post) -> None:
    there = await park(post, b"a", b"b", b"c")
    assert [parked.body for parked in there] == [b"a", b"b", b"c"]
    for _ in range(30):
        assert await post.parked() == there
        async with open_parking(url_of(post.club)) as parking:
            assert await parking.find(there[1].id) == there[1]


async def test_one_that_is_dropped_is_gone_and_the_others_stay(post: Post) -> None:
    first, second, third = await park(post, b"a", b"b", b"c")
    assert await drop(post, second.id) == [second]
    assert await post.parked() == [first, third]


async def test_many_go_at_once_by_id_or_by_reason(post: Post) -> None:
    unsigned = await park(post, b"a", b"b", b"c", b"d")
    await post.send(b"{")
    async with consuming(post.club):
        await wait_for(post.channel, PARKING_QUEUE, 5)
    (broken,) = [parked for parked in await post.parked() if parked not in unsigned]

    with pytest.raises(NotParked, match="no parked message nothing"):
        await drop(post, unsigned[1].id, "nothing", unsigned[3].id)
    assert await post.parked() == [unsigned[0], unsigned[2], broken]

    assert await replay(post, broken.id, reason="unsigned") == [unsigned[0], unsigned[2], broken]
    assert await post.parked() == []
    async with consuming(post.club):
        await wait_for(post.channel, PARKING_QUEUE, 3)
    assert len(await drop(post, reason="unsigned")) == 2
    assert [parked.reason for parked in await post.parked()] == ["broken-json"]
    for act in (drop, replay):
        with pytest.raises(
            NoneParked, match=r"no parked message of the reason stale; .*broken-json"
        ):
            await act(post, reason="stale")


@pytest.mark.parametrize("unknown", ["", "00000000", "x" * 1000])
async def test_what_is_not_parked_is_neither_shown_nor_sent_nor_dropped(
    post: Post, unknown: str
) -> None:
    there = await park(post, b"a")
    async with open_parking(url_of(post.club)) as parking:
        with pytest.raises(NotParked):
            await parking.find(unknown)
    with pytest.raises(NotParked):
        await replay(post, unknown)
    with pytest.raises(NotParked):
        await drop(post, unknown)
    assert await post.parked() == there


async def test_news_that_came_before_their_payment_settle_it_when_sent_again(post: Post) -> None:
    payment_id, client_id = await post.payment()
    next_id = payment_id + 1
    async with consuming(post.club):
        body = await post.send(post.news(next_id), correlation_id="c", type="t", app_id="a")
        parked = await post.is_parked()
        assert (parked.reason, parked.body) == ("unknown-reference", body)
        assert await post.payment() != (payment_id, client_id)
        await replay(post, parked.id)
        await post.reaches(next_id, "PAID")
    assert await post.parked() == []
    assert await post.happened("payment.settled") == 1


async def test_a_message_is_sent_again_as_it_was(post: Post) -> None:
    (parked,) = await park(post, b"\x00\xff")
    await replay(post, parked.id)
    message = await (await post.channel.get_queue(PAYMENTS_QUEUE)).get()
    ours = {REPLAYED, "x-delivery-count"}
    headers = {name: value for name, value in message.headers.items() if name not in ours}
    assert (headers, message.body) == ({"of": "nobody"}, b"\x00\xff")
    await message.ack()
    assert await post.parked() == []


async def test_one_that_is_still_impossible_is_parked_again(post: Post) -> None:
    (parked,) = await park(post, b"a")
    async with consuming(post.club):
        await replay(post, parked.id)
        await wait_for(post.channel, PARKING_QUEUE)
    (again,) = await post.parked()
    assert (again.body, again.reason) == (b"a", "unsigned")
    assert again.id != parked.id


async def test_a_stale_message_passes_when_a_person_sends_it_again(post: Post) -> None:
    payment_id, _ = await post.payment()
    news = post.news(payment_id, at=hours_ago(1))
    body = await post.send(news, {})
    async with consuming(post.club):
        await post.is_parked()
        await post.send(body, post.signed(body, ago=30 * 3600))
        await wait_for(post.channel, PARKING_QUEUE, 2)
        unsigned, stale = await post.parked()
        assert (unsigned.reason, stale.reason) == ("unsigned", "stale")
        await replay(post, stale.id)
        await post.reaches(payment_id, "PAID")
        await replay(post, unsigned.id)
        await wait_for(post.channel, PARKING_QUEUE)
    assert (await post.is_parked()).reason == "unsigned"


async def test_nobody_else_makes_a_pass_for_a_stale_message(post: Post, tmp_path: Any) -> None:
    payment_id, _ = await post.payment()
    old, other = (post.signed(b"", ago=ago) for ago in (30 * 3600, 31 * 3600))
    forger = ProviderSecrets(tmp_path / "forger").pass_for
    signed = old["webhook-id"], old["webhook-signature"]
    async with consuming(post.club):
        forged = ["yes", True, forger(*signed), other["webhook-signature"]]
        for made_up in forged:
            await post.send(b"", {**old, REPLAYED: made_up})
        await wait_for(post.channel, PARKING_QUEUE, len(forged))
    assert {parked.reason for parked in await post.parked()} == {"stale"}
    assert await post.status(payment_id) == "PENDING"


async def test_a_message_that_others_put_there_is_shown_but_sent_nowhere(post: Post) -> None:
    theirs: Any = {"club-parked-id": "abc", "club-queue": "elsewhere", "club-reason": "unsigned"}
    await post.channel.default_exchange.publish(Message(b"theirs", headers=theirs), PARKING_QUEUE)
    assert (await post.is_parked()).id == "abc"
    with pytest.raises(NotOurs, match="parked as abc did not come from a queue of the club"):
        await replay(post, "abc")
    await park(post, b"ours")
    with pytest.raises(NotOurs):
        await replay(post, reason="unsigned")
    assert [parked.body for parked in await post.parked()] == [b"theirs"]
    await wait_for(post.channel, PAYMENTS_QUEUE, 1)


async def test_the_club_counts_what_is_parked(post: Post) -> None:
    await park(post, b"a", b"b")
    health = await post.club.health()
    assert health.report["components"]["rabbitmq"] == {"status": "running", "parked": 2}


async def test_a_message_stays_parked_where_it_cannot_be_sent(post: Post) -> None:
    (parked,) = await park(post, b"a")
    await post.channel.queue_delete(PAYMENTS_QUEUE)
    with pytest.raises(aio_pika.exceptions.DeliveryError):
        await replay(post, parked.id)
    await wait_for(post.channel, PARKING_QUEUE)
