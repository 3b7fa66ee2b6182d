"""A worker that is killed or frozen in a transaction: others go on, and nothing is there twice."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.acceptance.service import CHECKOUT
from tests.infra.chain.scenes import Chain, Member, arrived
from tests.waiting import until

SOON = 20.0
"""Seconds within which others go on, on a machine with a lot to do."""


def start(chain: Chain, club: Member, where: str, by: signal.Signals) -> subprocess.Popen[str]:
    words = [chain.url, club.url, where, str(int(by))]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.infra.chain.struck", *words],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def struck(process: subprocess.Popen[str]) -> None:
    """Wait until it was."""

    async def is_so() -> bool:
        return state(process.pid) in {"T", "Z"}

    await until(is_so, "it was struck", SOON)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize(
    ("where", "by"),
    [
        ("on its way", signal.SIGKILL),
        ("held", signal.SIGSTOP),
        ("on its way", signal.SIGSTOP),
    ],
)
async def test_whoever_is_struck_in_a_transaction_is_soon_passed_and_changes_nothing(
    chain: Chain, where: str, by: signal.Signals
) -> None:
    north, south = chain.clubs
    head, records = await north.head(), await north.records(size=100)
    process = start(chain, north, where, by)
    try:
        await struck(process)
        assert max((await chain.positions(north)).values()) < head
        begun = time.monotonic()
        async with chain.worker() as intake:
            await intake.take(arrived(*await south.records()))
            assert set((await chain.positions(south)).values()) == {await south.head()}
            await intake.take(arrived(*records))
            await chain.reaches(north, head)
            assert time.monotonic() - begun < SOON
            await chain.is_as_its_club(north)
            if by is signal.SIGSTOP:
                os.kill(process.pid, signal.SIGCONT)
                said, errors = await asyncio.to_thread(process.communicate, timeout=SOON)
                assert said == "lost, and nothing left to take\n", errors
        for club in chain.clubs:
            await chain.is_as_its_club(club)
            assert await chain.standing(club) == {}
    finally:
        process.kill()
        process.communicate()
