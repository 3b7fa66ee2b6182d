"""How often somebody may try: by account, by network address, and until when."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from application.access import Origin
from application.limits import (
    PLACES,
    REGISTRATION,
    UNABLE,
    Limits,
    TooManyAttempts,
    network,
)
from application.ports.ledger import Overloaded
from application.ports.services import Bounds
from infra.short_lived import InProcessStore
from tests.application.fakes import FixedClock, WatchedStore

BOUNDS = Bounds(attempts_per_account=3, attempts_per_address=7, attempts_window_seconds=60)


class Attempts:
    """Somebody who tries, at the club's own time."""

    def __init__(self, bounds: Bounds = BOUNDS) -> None:
        self.clock = FixedClock()
        self.store = WatchedStore(InProcessStore(self.clock.seconds))
        self.limits = Limits(self.store, bounds)

    async def left(self, account: str | None = "ada", address: str = "192.0.2.7") -> list[int]:
        """What is left of each limit after one more attempt."""
        allowance = await self.limits.attempt("login", account, Origin(address))
        return [limit.left for limit in allowance]

    async def refused(self, account: str | None = "ada", address: str = "192.0.2.7") -> str:
        """The limit that one more attempt is over."""
        with pytest.raises(TooManyAttempts) as refusal:
            await self.limits.attempt("login", account, Origin(address))
        (exceeded,) = [limit.name for limit in refusal.value.allowance if limit.left < 0]
        return exceeded


@pytest.fixture
def attempts() -> Attempts:
    return Attempts()


async def test_an_attempt_tells_what_is_left_until_when(attempts: Attempts) -> None:
    by_account, by_address = await attempts.limits.attempt("login", "ada", Origin("192.0.2.7"))
    assert (by_account.name, by_account.quota, by_account.window) == ("account", 3, 60)
    assert (by_address.name, by_address.quota, by_address.window) == ("address", 7, 60)
    assert (by_account.left, by_address.left) == (2, 6)
    assert (by_account.reset, by_address.reset) == (60, 60)
    attempts.clock.let_pass(timedelta(seconds=20))
    by_account, by_address = await attempts.limits.attempt("login", "ada", Origin("192.0.2.7"))
    assert (by_account.left, by_account.reset, by_address.reset) == (1, 40, 40)


async def test_an_account_may_be_tried_so_often_from_each_address(attempts: Attempts) -> None:
    for _ in range(3):
        await attempts.left()
    assert await attempts.refused() == "account"
    assert await attempts.left(address="198.51.100.1") == [2, 6]
    assert await attempts.left("bob") == [2, 2]


async def test_an_account_may_be_tried_only_so_often_from_all_addresses_together(
    attempts: Attempts,
) -> None:
    for n in range(3 * PLACES):
        await attempts.left(address=f"192.0.2.{n}")
    assert await attempts.refused(address="198.51.100.1") == "everywhere"
    assert await attempts.left("bob", "198.51.100.1") == [2, 5]


@pytest.mark.parametrize(
    "name", ["ADA", " ada", "ada ", "Ada", "\tada\n", "\uff41da", "a\u200bda"], ids=ascii
)
async def test_an_account_is_the_same_however_it_is_written(attempts: Attempts, name: str) -> None:
    for _ in range(3):
        await attempts.left("ada")
    assert await attempts.refused(name) == "account"


async def test_an_address_may_try_so_often_whatever_the_accounts(attempts: Attempts) -> None:
    for n in range(7):
        await attempts.left(f"user{n}")
    assert await attempts.refused("user8") == "address"
    assert await attempts.refused(None) == "address"
    assert await attempts.left("user8", "198.51.100.1") == [2, 6]


async def test_who_is_over_the_limit_of_an_address_uses_up_no_account(attempts: Attempts) -> None:
    for _ in range(7):
        await attempts.left(None)
    for _ in range(10):
        await attempts.refused("ada")
    assert await attempts.left("ada", "198.51.100.1") == [2, 6]


async def test_an_attempt_without_an_account_counts_for_the_address(attempts: Attempts) -> None:
    assert await attempts.left(None) == [6]


async def test_what_is_tried_is_counted_by_itself(attempts: Attempts) -> None:
    for _ in range(3):
        await attempts.left()
    allowance = await attempts.limits.attempt("verification", "ada", Origin("192.0.2.7"))
    assert [limit.left for limit in allowance] == [2, 6]


async def test_counting_begins_anew_after_the_window(attempts: Attempts) -> None:
    for _ in range(3):
        await attempts.left()
    attempts.clock.let_pass(timedelta(seconds=59))
    assert await attempts.refused() == "account"
    attempts.clock.let_pass(timedelta(seconds=2))
    assert await attempts.left() == [2, 6]


async def test_attempts_that_are_refused_do_not_make_the_window_longer(attempts: Attempts) -> None:
    for _ in range(3):
        await attempts.left()
    for _ in range(5):
        attempts.clock.let_pass(timedelta(seconds=10))
        await attempts.refused()
    attempts.clock.let_pass(timedelta(seconds=11))
    assert await attempts.left() == [2, 6]


@pytest.mark.parametrize(("passed", "seconds"), [(0, 60), (20, 40), (59.5, 1), (59.999, 1)])
async def test_a_refusal_says_in_how_many_seconds_to_try_again(
    attempts: Attempts, passed: float, seconds: int
) -> None:
    for _ in range(3):
        await attempts.left()
    attempts.clock.let_pass(timedelta(seconds=passed))
    with pytest.raises(TooManyAttempts) as refused:
        await attempts.limits.attempt("login", "ada", Origin("192.0.2.7"))
    assert refused.value.seconds == seconds
    assert refused.value.detail == f"Too many attempts. Please try again in {seconds} seconds."
    attempts.clock.let_pass(timedelta(seconds=seconds))
    await attempts.left()


async def test_however_many_try_at_once_no_more_get_through(attempts: Attempts) -> None:
    tried = await asyncio.gather(*(attempts.left() for _ in range(20)), return_exceptions=True)
    assert sorted(map(str, [t for t in tried if isinstance(t, list)])) == [
        "[0, 4]",
        "[1, 5]",
        "[2, 6]",
    ]
    assert all(isinstance(t, list | TooManyAttempts) for t in tried)


async def test_the_store_is_not_told_the_name(attempts: Attempts) -> None:
    """People type passwords where a name belongs."""
    await attempts.left("correct horse battery")
    assert not [key for _, key in attempts.store.asked if "horse" in key]


SAME = [
    ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"),
    ("2001:db8:1:2::1", "2001:0DB8:0001:0002::1"),
    ("::ffff:192.0.2.7", "192.0.2.7"),
    ("::ffff:c000:207", "192.0.2.7"),
    ("fe80::1%eth0", "fe80::2%eth1"),
    ("192.0.2.7%eth0", "192.0.2.7"),
]
OTHERS = [
    ("192.0.2.7", "192.0.2.8"),
    ("2001:db8:1:2::1", "2001:db8:1:3::1"),
    ("::ffff:192.0.2.7", "::ffff:192.0.2.8"),
    ("this-machine", "192.0.2.7"),
    ("telegram", "this-machine"),
    ("", "192.0.2.7"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
async def test_a_network_has_one_limit(attempts: Attempts, one: str, other: str) -> None:
    assert network(one) == network(other)
    await attempts.left(None, one)
    assert await attempts.left(None, other) == [5]


@pytest.mark.parametrize(("one", "other"), OTHERS)
async def test_another_network_has_another(attempts: Attempts, one: str, other: str) -> None:
    assert network(one) != network(other)
    await attempts.left(None, one)
    assert await attempts.left(None, other) == [6]


class NotAble(Exception):
    """Something else than what says that the club is not able to look."""


@pytest.mark.parametrize("unable", UNABLE)
async def test_what_the_club_was_not_able_to_look_at_is_no_attempt(
    attempts: Attempts, unable: type[Exception]
) -> None:
    for _ in range(30):
        with pytest.raises(unable):
            async with attempts.limits.trying("login", "ada", Origin("192.0.2.7")):
                raise unable
    assert await attempts.left() == [2, 6]
    assert await attempts.left(address="198.51.100.1") == [2, 6]


async def test_whatever_else_comes_of_an_attempt_it_counts(attempts: Attempts) -> None:
    with pytest.raises(NotAble):
        async with attempts.limits.trying("login", "ada", Origin("192.0.2.7")):
            raise NotAble
    async with attempts.limits.trying("login", "ada", Origin("192.0.2.7")) as allowance:
        assert [limit.left for limit in allowance] == [1, 5]
    assert await attempts.left() == [0, 4]


async def test_a_store_that_is_lost_in_between_hides_nothing(attempts: Attempts) -> None:
    async def try_and_lose_the_store() -> None:
        async with attempts.limits.trying("login", "ada", Origin("192.0.2.7")):
            attempts.store.answers = 0
            raise Overloaded

    with pytest.raises(Overloaded):
        await try_and_lose_the_store()
    attempts.store.answers = None
    assert await attempts.left() == [1, 5]


async def test_registering_has_an_allowance_of_its_own() -> None:
    attempts = Attempts(replace(BOUNDS, registrations_per_address=2))
    for left in (1, 0):
        (limit,) = await attempts.limits.attempt(REGISTRATION, None, Origin("192.0.2.7"))
        assert (limit.quota, limit.left) == (2, left)
    with pytest.raises(TooManyAttempts):
        await attempts.limits.attempt(REGISTRATION, None, Origin("192.0.2.7"))
    assert await attempts.left() == [2, 6]
