"""Password hashes: Argon2id, with the parameters that RFC 9106 recommends for little memory."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import argon2

from application.ports.ledger import Overloaded

AT_ONCE = 2
"""Hashes compared at the same time; each takes 64 MiB and a core."""

NEW_AT_ONCE = 1
"""New hashes made at the same time, beside them."""

MOST_WAITING = 64
"""Those who may wait for one of either; that is a few seconds."""

P = ParamSpec("P")
T = TypeVar("T")


class Argon2Hasher:
    """Hashes in threads, so that the service goes on answering."""

    def __init__(self) -> None:
        self._hasher = argon2.PasswordHasher.from_parameters(argon2.profiles.RFC_9106_LOW_MEMORY)
        self._nobodys = _of_no_password(self._hasher)
        self._door = _Turns(AT_ONCE)
        self._register = _Turns(NEW_AT_ONCE)

    async def hash(self, password: str, *, at_the_door: bool = False) -> str:
        """The hash to keep."""
        turns = self._door if at_the_door else self._register
        return await turns.take(self._hasher.hash, password)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether it is the password of this hash; where there is none, it takes as long."""
        return await self._door.take(self._verify, password, password_hash or self._nobodys)

    def _verify(self, password: str, password_hash: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except argon2.exceptions.VerifyMismatchError:
            return False


class _Turns:
    """So many work at once, in threads; the next wait, and the next after those are refused.

    Those who sign in have turns of their own: however many register, they take none of them.
    """

    def __init__(self, at_once: int) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._waiting = 0

    async def take(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._waiting >= MOST_WAITING:
            raise Overloaded
        self._waiting += 1
        try:
            async with self._free:
                return await asyncio.to_thread(work, *args, **kwargs)
        finally:
            self._waiting -= 1


def _of_no_password(hasher: argon2.PasswordHasher) -> str:
    """A hash with the usual parameters that is not the hash of anything."""
    salt, digest = (
        base64.b64encode(secrets.token_bytes(size)).rstrip(b"=").decode()
        for size in (hasher.salt_len, hasher.hash_len)
    )
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${cost}${salt}${digest}"
