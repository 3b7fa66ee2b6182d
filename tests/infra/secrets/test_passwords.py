"""Passwords: hashed with Argon2id, checked in turn, and as slowly for nobody as for somebody."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import argon2
import pytest

from application.ports.ledger import Overloaded
from infra.secrets.passwords import AT_ONCE, MOST_WAITING, NEW_AT_ONCE, Argon2Hasher

RIGHT = "correct horse battery"

pytestmark = pytest.mark.usefixtures("costly_hashes")


@pytest.fixture
def hasher() -> Argon2Hasher:
    return Argon2Hasher()


async def test_the_right_password_is_right_and_no_other(hasher: Argon2Hasher) -> None:
    kept = await hasher.hash(RIGHT)
    assert await hasher.verify(RIGHT, kept)
    for wrong in ("", "Correct horse battery", f"{RIGHT} ", RIGHT[:-1], "\0", "🐎" * 128, kept):
        assert not await hasher.verify(wrong, kept)


async def test_nothing_is_the_password_of_nobody(hasher: Argon2Hasher) -> None:
    for password in ("", RIGHT, "\0" * 32):
        assert not await hasher.verify(password, None)


async def test_equal_passwords_have_hashes_of_their_own(hasher: Argon2Hasher) -> None:
    first, second = await hasher.hash(RIGHT), await hasher.hash(RIGHT)
    assert first != second
    assert RIGHT not in first


async def test_a_password_is_hashed_as_rfc_9106_recommends(hasher: Argon2Hasher) -> None:
    """The second recommendation of section 4: 64 MiB, three passes, four lanes."""
    found = argon2.extract_parameters(await hasher.hash(RIGHT))
    assert found.type is argon2.Type.ID
    assert (found.memory_cost, found.time_cost, found.parallelism) == (65536, 3, 4)
    assert (found.salt_len, found.hash_len) == (16, 32)


class Checked:
    """The hashes that passwords were really compared with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hashes: list[str] = []
        verify = argon2.PasswordHasher.verify

        def noting(hasher: argon2.PasswordHasher, kept: str, password: str) -> bool:
            self.hashes.append(kept)
            return verify(hasher, kept, password)

        monkeypatch.setattr(argon2.PasswordHasher, "verify", noting)


async def test_for_nobody_the_same_is_computed_as_for_a_wrong_password(
    hasher: Argon2Hasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = await hasher.hash(RIGHT)
    checked = Checked(monkeypatch)
    await hasher.verify("wrong", kept)
    await hasher.verify("wrong", None)
    somebodys, nobodys = map(argon2.extract_parameters, checked.hashes)
    assert somebodys == nobodys


async def test_nobody_is_refused_no_sooner_than_somebody(hasher: Argon2Hasher) -> None:
    """Each is taken at its quickest, which is what the machine's other work leaves alone."""
    kept = await hasher.hash(RIGHT)
    took: dict[str | None, list[float]] = {kept: [], None: []}
    for _ in range(10):
        for somebody, times in took.items():
            begun = time.monotonic()
            await hasher.verify("wrong", somebody)
            times.append(time.monotonic() - begun)
    ratio = min(took[None]) / min(took[kept])
    assert 0.5 < ratio < 2


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, list[int]]]:
    """Hashes that are ready when the event is set, and how many there were at once."""
    ready, at_once, lock = threading.Event(), [0, 0], threading.Lock()

    def verify(hasher: argon2.PasswordHasher, kept: str, password: str) -> bool:
        with lock:
            at_once[0] += 1
            at_once[1] = max(at_once)
        ready.wait(30)
        with lock:
            at_once[0] -= 1
        return True

    monkeypatch.setattr(argon2.PasswordHasher, "verify", verify)
    yield ready, at_once
    ready.set()


async def test_whoever_comes_when_too_many_wait_is_told_at_once(
    hasher: Argon2Hasher, slowly: tuple[threading.Event, list[int]]
) -> None:
    ready, at_once = slowly
    waiting = [asyncio.create_task(hasher.verify(RIGHT, None)) for _ in range(MOST_WAITING)]
    await asyncio.sleep(0)  # so that all of them have begun
    for _ in range(3):
        with pytest.raises(Overloaded):
            await hasher.verify(RIGHT, None)
        with pytest.raises(Overloaded):
            await hasher.hash(RIGHT, at_the_door=True)
    ready.set()
    assert await asyncio.gather(*waiting) == [True] * MOST_WAITING
    assert at_once == [0, AT_ONCE]
    assert await hasher.verify(RIGHT, None)


async def test_however_many_register_they_take_no_place_from_those_who_sign_in(
    hasher: Argon2Hasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, hash_of = await hasher.hash(RIGHT), argon2.PasswordHasher.hash
    ready, made = threading.Event(), 0

    def slowly(hasher: argon2.PasswordHasher, password: str) -> str:
        nonlocal made
        made += 1
        ready.wait(30)
        return kept

    monkeypatch.setattr(argon2.PasswordHasher, "hash", slowly)
    registering = [asyncio.create_task(hasher.hash(RIGHT)) for _ in range(MOST_WAITING)]
    await asyncio.sleep(0)  # so that all of them have begun
    with pytest.raises(Overloaded):
        await hasher.hash(RIGHT)
    for _ in range(3):
        assert await hasher.verify(RIGHT, kept)
    assert made == NEW_AT_ONCE
    monkeypatch.setattr(argon2.PasswordHasher, "hash", hash_of)
    assert await hasher.hash(RIGHT, at_the_door=True) != kept
    ready.set()
    await asyncio.gather(*registering)


async def test_whoever_gives_up_waiting_leaves_the_place_to_another(
    hasher: Argon2Hasher, slowly: tuple[threading.Event, list[int]]
) -> None:
    ready, _ = slowly
    waiting = [asyncio.create_task(hasher.verify(RIGHT, None)) for _ in range(MOST_WAITING)]
    await asyncio.sleep(0)  # so that all of them have begun
    for task in waiting[AT_ONCE:]:
        task.cancel()
    await asyncio.wait(waiting[AT_ONCE:])
    others = [asyncio.create_task(hasher.verify(RIGHT, None)) for _ in range(5)]
    ready.set()
    assert await asyncio.gather(*others, *waiting[:AT_ONCE]) == [True] * (5 + AT_ONCE)


async def test_the_service_goes_on_while_passwords_are_checked(hasher: Argon2Hasher) -> None:
    checking = [asyncio.create_task(hasher.verify(RIGHT, None)) for _ in range(6)]
    turns = 0
    while not all(task.done() for task in checking):
        await asyncio.sleep(0)
        turns += 1
    assert turns > 20
