"""Commands about payments, and what they do for the client."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from itertools import accumulate, permutations, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.access import Caller
from application.clients import ChangeClient, DeleteClient
from application.memberships import ChangeMembership
from application.payments import (
    ChangePayment,
    DeletePayment,
    NotYet,
    OtherMembership,
    PaymentBody,
    PaymentReport,
    ReportPayment,
    RequestPayment,
)
from application.ports.services import Rules
from domain.aggregate import time_text
from domain.payments import ImpossibleStep, PaymentSettled, RefundKnown
from domain.refusals import Forbidden, NotFound, UnknownReference
from domain.values import PaymentStatus, Role
from tests.application.fakes import A_MORNING
from tests.application.scene import Scene, payment_body

PENDING, PAID, FAILED, CANCELLED, EXPIRED, REFUNDED = PaymentStatus
CASHIER = Caller.user(99, Role.SYSTEM)


def day(days: float) -> str:
    """So many days after the morning on which nothing has happened yet."""
    return time_text(A_MORNING + timedelta(days=days))


async def on_a_membership(
    scene: Scene, owner: Caller | None = None, **facts: Any
) -> tuple[int, int]:
    """A client, and the membership that it holds."""
    membership_id = await scene.membership()
    return await scene.client(owner, membership_id=membership_id, **facts), membership_id


async def step(scene: Scene, number: int, status: PaymentStatus, **facts: Any) -> dict[str, Any]:
    """A cashier reports a step of the payment; how it is shown then."""
    row = scene.row("payments", number)
    body = payment_body(row["client_id"], row["membership_id"], payment_status=status, **facts)
    return dict(await scene.body(ChangePayment(number, body), CASHIER))


async def test_a_payment_is_pending_when_it_is_created(scene: Scene) -> None:
    client_id, membership_id = await on_a_membership(scene)
    for status in (None, PENDING):
        body = payment_body(client_id, membership_id, payment_status=status)
        shown = dict(await scene.body(RequestPayment(body), CASHIER))
        shown.pop("id")
        assert shown == {
            "client_id": client_id,
            "membership_id": membership_id,
            "payment_status": "PENDING",
            "timestamp": day(0),
            "amount": "49.90",
            "refund_announced_at": None,
        }


async def test_a_later_change_of_the_price_changes_no_payment(scene: Scene) -> None:
    client_id, membership_id = await on_a_membership(scene)
    payment_id = await scene.payment(client_id)
    await scene.do(ChangeMembership(membership_id, {"price": "99.00"}))
    assert (await step(scene, payment_id, PAID))["amount"] == "49.90"
    body = payment_body(client_id, membership_id)
    assert (await scene.body(RequestPayment(body), CASHIER))["amount"] == "99.00"


async def test_a_payment_for_another_membership_is_what_that_one_costs(scene: Scene) -> None:
    client_id, _ = await on_a_membership(scene)
    payment_id, other = await scene.payment(client_id), await scene.membership("15.00")
    await scene.do(ChangeClient(client_id, {"membership_id": other}))
    shown = await scene.body(ChangePayment(payment_id, payment_body(client_id, other)), CASHIER)
    assert shown["amount"] == "15.00"


async def test_who_settles_may_record_at_once_how_far_it_has_come(scene: Scene) -> None:
    client_id, membership_id = await on_a_membership(scene, status="UPCOMING")
    body = payment_body(client_id, membership_id, payment_status=PAID, timestamp=day(-1))
    shown = await scene.body(RequestPayment(body), CASHIER)
    assert (shown["payment_status"], shown["timestamp"]) == ("PAID", day(-1))
    assert (scene.status(client_id), scene.until(client_id)) == ("ACTIVE", day(29))


async def test_a_payment_does_not_begin_with_an_impossible_step(scene: Scene) -> None:
    body = payment_body(*await on_a_membership(scene), payment_status=REFUNDED)
    head = scene.head
    with pytest.raises(ImpossibleStep):
        await scene.do(RequestPayment(body), CASHIER)
    assert scene.head == head


@pytest.mark.parametrize("field", ["client_id", "membership_id"])
async def test_a_payment_is_of_a_client_for_a_membership_that_are_there(
    scene: Scene, field: str
) -> None:
    client_id, membership_id = await on_a_membership(scene)
    refers = {"client_id": client_id, "membership_id": membership_id}
    payment_id = await scene.payment(refers["client_id"])
    body = payment_body(**{**refers, field: 999})
    for command in (RequestPayment(body), ChangePayment(payment_id, body)):
        with pytest.raises(UnknownReference) as refused:
            await scene.do(command, CASHIER)
        assert refused.value.field == field


async def test_a_payment_is_for_the_membership_that_its_client_holds(scene: Scene) -> None:
    owner = await scene.user()
    client_id, membership_id = await on_a_membership(scene, owner)
    other_client, others = await on_a_membership(scene)
    free = await scene.membership()
    payment_id = await scene.payment(client_id)
    for caller, wrong in product([owner, CASHIER, Caller.user(98, Role.ADMIN)], [others, free]):
        with pytest.raises(OtherMembership) as refused:
            await scene.do(RequestPayment(payment_body(client_id, wrong)), caller)
        assert refused.value.field == "membership_id"
    for body in (payment_body(client_id, others), payment_body(other_client, membership_id)):
        with pytest.raises(OtherMembership):
            await scene.do(ChangePayment(payment_id, body), CASHIER)


async def test_what_was_asked_for_a_membership_of_before_may_be_settled_all_the_same(
    scene: Scene,
) -> None:
    client_id, _ = await on_a_membership(scene)
    payment_id = await scene.payment(client_id)
    await scene.do(ChangeClient(client_id, {"membership_id": await scene.membership()}))
    assert (await step(scene, payment_id, PAID))["payment_status"] == "PAID"
    assert scene.until(client_id) == day(30)


async def test_paid_makes_the_client_active_until_30_days_after_it_was_paid(scene: Scene) -> None:
    client_id = await scene.client(status="EXPIRED")
    payment_id = await scene.payment(client_id)
    shown = await step(scene, payment_id, PAID, timestamp=day(-2))
    assert shown["timestamp"] == day(-2)
    assert (scene.status(client_id), scene.until(client_id)) == ("ACTIVE", day(28))


async def test_paid_again_while_time_is_left_gives_30_days_more(scene: Scene) -> None:
    client_id = await scene.client()
    await scene.payment(client_id, PAID)
    scene.services.clock.let_pass(timedelta(days=10))
    await scene.payment(client_id, PAID)
    assert scene.until(client_id) == day(60)


async def test_paid_after_the_time_has_ended_begins_anew(scene: Scene) -> None:
    client_id = await scene.client()
    await scene.payment(client_id, PAID)
    scene.services.clock.let_pass(timedelta(days=40))
    await scene.payment(client_id, PAID)
    assert scene.until(client_id) == day(70)


async def test_the_days_that_a_payment_buys_are_a_setting() -> None:
    scene = Scene(Rules(paid_days=7))
    client_id = await scene.client()
    await scene.payment(client_id, PAID)
    assert scene.until(client_id) == day(7)


@pytest.mark.parametrize("order", list(permutations([0, 1, 2])), ids=str)
async def test_the_order_of_messages_does_not_matter(scene: Scene, order: tuple[int, ...]) -> None:
    client_id = await scene.client()
    paid = [day(0), day(20), day(75)]
    payments = [await scene.payment(client_id) for _ in paid]
    scene.services.clock.let_pass(timedelta(days=80))
    for n in order:
        await step(scene, payments[n], PAID, timestamp=paid[n])
    assert (scene.status(client_id), scene.until(client_id)) == ("ACTIVE", day(105))


async def test_the_same_message_twice_changes_nothing(scene: Scene) -> None:
    client_id = await scene.client()
    payment_id = await scene.payment(client_id, PAID)
    head = scene.head
    await step(scene, payment_id, PAID)
    assert scene.head == head
    assert scene.until(client_id) == day(30)


async def test_refunded_takes_the_time_that_it_had_bought_away(scene: Scene) -> None:
    client_id = await scene.client()
    first, _ = await scene.payment(client_id, PAID), await scene.payment(client_id, PAID)
    await step(scene, first, REFUNDED)
    assert (scene.status(client_id), scene.until(client_id)) == ("ACTIVE", day(30))


async def test_a_client_whose_only_payment_is_refunded_becomes_expired(scene: Scene) -> None:
    client_id = await scene.client()
    await step(scene, await scene.payment(client_id, PAID), REFUNDED)
    assert (scene.status(client_id), scene.until(client_id)) == ("EXPIRED", None)


@pytest.mark.parametrize("late", [FAILED, CANCELLED, EXPIRED, PAID, PENDING])
async def test_an_impossible_step_changes_nothing(scene: Scene, late: PaymentStatus) -> None:
    client_id = await scene.client()
    payment_id = await scene.payment(client_id, PAID, REFUNDED)
    head = scene.head
    with pytest.raises(ImpossibleStep):
        await step(scene, payment_id, late)
    assert scene.head == head


@pytest.mark.parametrize("first", [FAILED, EXPIRED])
async def test_money_that_arrives_late_is_money_all_the_same(
    scene: Scene, first: PaymentStatus
) -> None:
    client_id = await scene.client(status="EXPIRED")
    payment_id = await scene.payment(client_id, first)
    await step(scene, payment_id, PAID)
    assert (scene.status(client_id), scene.until(client_id)) == ("ACTIVE", day(30))


async def test_another_clock_may_run_a_little_ahead_but_nobody_pays_tomorrow(
    scene: Scene,
) -> None:
    client_id, membership_id = await on_a_membership(scene)
    payment_id = await scene.payment(client_id)
    tomorrow = payment_body(client_id, membership_id, payment_status=PAID, timestamp=day(1))
    for command in (ChangePayment(payment_id, tomorrow), RequestPayment(tomorrow)):
        with pytest.raises(NotYet) as refused:
            await scene.do(command, CASHIER)
        assert refused.value.field == "timestamp"
    await step(scene, payment_id, PAID, timestamp=time_text(A_MORNING + timedelta(minutes=5)))
    assert scene.row("payments", payment_id)["payment_status"] == "PAID"


async def test_a_payment_that_changed_hands_lets_its_new_client_in(scene: Scene) -> None:
    first, its = await on_a_membership(scene)
    second, other = await on_a_membership(scene, status="EXPIRED")
    payment_id = await scene.payment(first)
    body = payment_body(second, other, payment_status=PAID)
    await scene.do(ChangePayment(payment_id, body), CASHIER)
    assert (scene.until(first), scene.until(second)) == (None, day(30))
    with pytest.raises(PaymentSettled):
        await scene.do(ChangePayment(payment_id, payment_body(first, its)), CASHIER)


@pytest.mark.parametrize("field", ["client_id", "membership_id"])
async def test_who_pays_does_not_change_who_pays_or_for_what(scene: Scene, field: str) -> None:
    owner = await scene.user()
    client_id, membership_id = await on_a_membership(scene, owner)
    facts = {"client_id": client_id, "membership_id": membership_id}
    other = {"client_id": await scene.client(), "membership_id": await scene.membership()}
    payment_id = await scene.payment(client_id)
    with pytest.raises(Forbidden) as refused:
        await scene.do(
            ChangePayment(payment_id, payment_body(**{**facts, field: other[field]})), owner
        )
    assert refused.value.field == field


async def test_a_complete_update_that_names_no_status_leaves_it(scene: Scene) -> None:
    client_id, _ = await on_a_membership(scene)
    payment_id = await scene.payment(client_id, FAILED)
    other = await scene.membership()
    await scene.do(ChangeClient(client_id, {"membership_id": other}))
    shown = await scene.body(ChangePayment(payment_id, payment_body(client_id, other)), CASHIER)
    assert (shown["membership_id"], shown["payment_status"]) == (other, "FAILED")


async def test_payments_outlive_their_client(scene: Scene) -> None:
    owner = await scene.user()
    client_id = await scene.client(owner)
    payment_id = await scene.payment(client_id)
    await scene.do(DeleteClient(client_id))
    assert (await step(scene, payment_id, PAID))["payment_status"] == "PAID"
    assert (await step(scene, payment_id, REFUNDED))["payment_status"] == "REFUNDED"
    with pytest.raises(NotFound):
        await scene.do(DeletePayment(payment_id), owner)
    assert scene.rows("client_admissions") == []


@pytest.mark.parametrize("status", [PAID, REFUNDED])
async def test_accounts_are_not_deleted_not_even_by_an_admin(
    scene: Scene, status: PaymentStatus
) -> None:
    steps = [PAID] if status is PAID else [PAID, REFUNDED]
    payment_id = await scene.payment(await scene.client(), *steps)
    with pytest.raises(PaymentSettled):
        await scene.do(DeletePayment(payment_id))
    assert len(scene.rows("payments")) == 1


async def test_since_when_a_payment_is_pending_may_be_told(scene: Scene) -> None:
    client_id = await scene.client()
    body = PaymentBody(client_id=client_id, membership_id=1, timestamp=day(-1))
    payment_id = await scene.made(RequestPayment(body))
    assert scene.row("payments", payment_id)["timestamp"] == day(-1)
    await scene.do(ChangePayment(payment_id, body.model_copy(update={"timestamp": day(-2)})))
    assert scene.row("payments", payment_id)["timestamp"] == day(-2)


async def test_when_money_moved_is_part_of_the_accounts(scene: Scene) -> None:
    client_id = await scene.client()
    payment_id = await scene.payment(client_id, PAID)
    shown = scene.row("payments", payment_id)
    body = PaymentBody(
        client_id=client_id, membership_id=shown["membership_id"], payment_status=PAID
    )
    with pytest.raises(PaymentSettled):
        await scene.do(ChangePayment(payment_id, body.model_copy(update={"timestamp": day(-2)})))
    same = body.model_copy(update={"timestamp": shown["timestamp"]})
    assert (await scene.do(ChangePayment(payment_id, same))).position == 0


async def test_an_owner_may_send_back_the_time_that_it_read(scene: Scene) -> None:
    owner = await scene.user()
    client_id = await scene.client(owner)
    payment_id = await scene.payment(client_id)
    shown = scene.row("payments", payment_id)
    body = PaymentBody(
        client_id=client_id,
        membership_id=shown["membership_id"],
        payment_status=PaymentStatus.CANCELLED,
        timestamp=shown["timestamp"],
    )
    assert (await scene.body(ChangePayment(payment_id, body), owner))["payment_status"] == (
        "CANCELLED"
    )


# --- the news of a provider --------------------------------------------------------------------

PROVIDER = Caller(None, Role.SYSTEM, "provider-acme")
WAYS: list[tuple[PaymentStatus, ...]] = [
    (FAILED, PAID, REFUNDED),
    (FAILED, CANCELLED),
    (EXPIRED, PAID, REFUNDED),
    (PAID, REFUNDED),
]
"""The longest ways that a payment may go; it may have gone the first part of one."""

News = tuple[int, PaymentStatus, float]
"""Of which payment, which step, on which day."""


async def report(
    scene: Scene,
    payment_id: int,
    status: PaymentStatus,
    at: float,
    provider: Caller = PROVIDER,
    **facts: Any,
) -> dict[str, Any]:
    """A provider reports a step of the payment; how it is shown then."""
    news = PaymentReport(payment_id=payment_id, payment_status=status, **facts)
    return dict(await scene.body(ReportPayment(news, day(at)), provider))


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[News], list[News]]:
    """The news of a client's two payments in their order, and as they may arrive."""
    right: list[News] = []
    for number in (1, 2):
        way = draw(st.sampled_from(WAYS))
        way = way[: draw(st.integers(0, len(way)))]
        gaps = draw(st.lists(st.integers(1, 25), min_size=len(way), max_size=len(way)))
        right += zip([number] * len(way), way, accumulate(gaps), strict=True)
    right.sort(key=lambda news: news[2])
    again = draw(st.lists(st.sampled_from(right), max_size=4)) if right else []
    return right, draw(st.permutations([*right, *again]))


async def after_news(delivered: Sequence[News], status: str) -> tuple[Any, ...]:
    """What the news come to for the payments, and for the client."""
    scene = Scene()
    client_id = await scene.client(status=status)
    for _ in range(2):
        await scene.payment(client_id)
    scene.services.clock.let_pass(timedelta(days=80))
    for news in delivered:
        await report(scene, *news)
    return scene.rows("payments"), scene.status(client_id), scene.until(client_id)


@given(deliveries(), st.sampled_from(["ACTIVE", "EXPIRED"]))
def test_news_in_any_order_and_number_come_to_the_same_for_the_client(
    delivered: tuple[list[News], list[News]], status: str
) -> None:
    right, arrived = delivered
    assert asyncio.run(after_news(arrived, status)) == asyncio.run(after_news(right, status))


async def test_a_provider_settles_a_payment_and_lets_the_client_in(scene: Scene) -> None:
    client_id = await scene.client(status="UPCOMING")
    payment_id = await scene.payment(client_id)
    shown = await report(scene, payment_id, PAID, -2)
    assert (shown["payment_status"], shown["timestamp"]) == ("PAID", day(-2))
    assert (scene.status(client_id), scene.until(client_id)) == ("ACTIVE", day(28))


async def test_a_refund_that_comes_first_lets_nobody_in(scene: Scene) -> None:
    client_id = await scene.client(status="EXPIRED")
    payment_id = await scene.payment(client_id)
    assert (await report(scene, payment_id, REFUNDED, -1))["payment_status"] == "PENDING"
    shown = await report(scene, payment_id, PAID, -2)
    assert (shown["payment_status"], shown["timestamp"]) == ("REFUNDED", day(-1))
    assert (scene.status(client_id), scene.until(client_id)) == ("EXPIRED", None)


async def test_older_news_leave_nothing_in_the_ledger(scene: Scene) -> None:
    payment_id = await scene.payment(await scene.client())
    await report(scene, payment_id, PAID, -1)
    head = scene.head
    for status, at in ((PAID, -1), (FAILED, -2), (EXPIRED, -3), (PENDING, -4)):
        assert (await report(scene, payment_id, status, at))["payment_status"] == "PAID"
    assert scene.head == head


@pytest.mark.parametrize("late", [FAILED, CANCELLED, EXPIRED, PAID, PENDING])
async def test_news_of_an_impossible_step_change_nothing(scene: Scene, late: PaymentStatus) -> None:
    payment_id = await scene.payment(await scene.client(), PAID, REFUNDED)
    head = scene.head
    scene.services.clock.let_pass(timedelta(days=2))
    with pytest.raises(ImpossibleStep):
        await report(scene, payment_id, late, 1)
    assert scene.head == head


async def test_a_provider_cannot_report_what_is_not_there_or_has_not_been(scene: Scene) -> None:
    payment_id = await scene.payment(await scene.client())
    with pytest.raises(UnknownReference):
        await report(scene, payment_id + 1, PAID, 0)
    with pytest.raises(NotYet):
        await report(scene, payment_id, PAID, 1)


@pytest.mark.parametrize("role", [Role.USER, Role.TRAINER, Role.ANALYST, Role.OTHER])
async def test_only_those_who_settle_report(scene: Scene, role: Role) -> None:
    payment_id = await scene.payment(await scene.client())
    news = ReportPayment(PaymentReport(payment_id=payment_id, payment_status=PAID), day(0))
    with pytest.raises(Forbidden):
        await scene.do(news, Caller.user(1, role))


# --- money that came a second time, or went back first -----------------------------------------

OTHER = Caller(None, Role.SYSTEM, "provider-other")


async def test_money_of_two_providers_is_one_payment_and_a_second_collection(scene: Scene) -> None:
    client_id = await scene.client(status="EXPIRED")
    payment_id = await scene.payment(client_id)
    await report(scene, payment_id, PAID, -2)
    assert (await report(scene, payment_id, PAID, -1, OTHER))["payment_status"] == "PAID"
    (again,) = scene.rows("second_collections")
    assert again == {
        "payment_id": payment_id,
        "number": 1,
        "collector": "provider-other",
        "reference": None,
        "collected_at": day(-1),
        "returned_at": None,
    }
    assert (await report(scene, payment_id, REFUNDED, 0, OTHER))["payment_status"] == "PAID"
    assert scene.rows("second_collections") == [{**again, "returned_at": day(0)}]
    assert (scene.status(client_id), scene.until(client_id)) == ("ACTIVE", day(28))


async def test_another_reference_of_the_same_provider_is_a_second_collection(scene: Scene) -> None:
    payment_id = await scene.payment(await scene.client())
    await report(scene, payment_id, PAID, -2, reference="pi_1")
    for reference in ("pi_1", "pi_2", "pi_2", None):
        await report(scene, payment_id, PAID, -1, reference=reference)
    assert [row["reference"] for row in scene.rows("second_collections")] == ["pi_2"]


async def test_cash_and_then_a_provider_is_a_second_collection(scene: Scene) -> None:
    payment_id = await scene.payment(await scene.client(), PAID)
    await report(scene, payment_id, PAID, 0)
    assert [row["collector"] for row in scene.rows("second_collections")] == ["provider-acme"]


@pytest.mark.parametrize("told", [{}, {"timestamp": day(-1)}], ids=["now", "then"])
async def test_a_provider_and_then_cash_is_a_second_collection(
    scene: Scene, told: dict[str, str]
) -> None:
    payment_id = await scene.payment(await scene.client())
    before = await report(scene, payment_id, PAID, -2)
    for _ in range(2):
        assert await step(scene, payment_id, PAID, **told) == before
    assert [row["collector"] for row in scene.rows("second_collections")] == ["club"]


async def test_who_sends_back_what_was_read_takes_no_money(scene: Scene) -> None:
    payment_id = await scene.payment(await scene.client())
    shown = await report(scene, payment_id, PAID, -2)
    head = scene.head
    await step(scene, payment_id, PAID, timestamp=shown["timestamp"])
    assert scene.head == head


async def test_a_payment_whose_refund_is_known_is_neither_deleted_nor_changed(scene: Scene) -> None:
    owner = await scene.user()
    client_id, membership_id = await on_a_membership(scene, owner)
    other, others = await on_a_membership(scene)
    payment_id = await scene.payment(client_id)
    shown = await report(scene, payment_id, REFUNDED, -1)
    assert (shown["payment_status"], shown["refund_announced_at"]) == ("PENDING", day(-1))
    head = scene.head
    cancelled = payment_body(client_id, membership_id, payment_status=CANCELLED)
    for command, caller in (
        (DeletePayment(payment_id), owner),
        (DeletePayment(payment_id), CASHIER),
        (ChangePayment(payment_id, payment_body(other, others)), CASHIER),
        (ChangePayment(payment_id, cancelled), owner),
        (ChangePayment(payment_id, cancelled), CASHIER),
    ):
        with pytest.raises(RefundKnown):
            await scene.do(command, caller)
    assert scene.head == head
    assert (await report(scene, payment_id, PAID, -2))["payment_status"] == "REFUNDED"


async def test_a_dispute_that_was_won_lets_the_client_in_again(scene: Scene) -> None:
    client_id = await scene.client(status="EXPIRED")
    payment_id = await scene.payment(client_id)
    await report(scene, payment_id, PAID, -5)
    await report(scene, payment_id, REFUNDED, -3)
    assert scene.status(client_id) == "EXPIRED"
    shown = await report(scene, payment_id, PAID, -1, reference="dispute-won")
    assert (shown["payment_status"], shown["timestamp"]) == ("PAID", day(-1))
    assert (scene.status(client_id), scene.until(client_id)) == ("ACTIVE", day(29))


def test_what_a_provider_says_besides_is_left_alone() -> None:
    said = {"payment_id": 1, "payment_status": "PAID", "amount": "49.90", "customer": {"id": 7}}
    news = PaymentReport.model_validate(said)
    assert news == PaymentReport(payment_id=1, payment_status=PAID)
