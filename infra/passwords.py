"""Password hashes: Argon2id, with the parameters that RFC 9106 recommends for little memory."""

from __future__ import annotations

import asyncio

import argon2

AT_ONCE = 2
"""Hashes computed at the same time; each takes 64 MiB and a core."""


class Argon2Hasher:
    """Hashes in threads, so that the service goes on answering."""

    def __init__(self) -> None:
        self._hasher = argon2.PasswordHasher.from_parameters(argon2.profiles.RFC_9106_LOW_MEMORY)
        self._free = asyncio.Semaphore(AT_ONCE)

    async def hash(self, password: str) -> str:
        """The hash to keep."""
        async with self._free:
            return await asyncio.to_thread(self._hasher.hash, password)
