"""What time does in a process of the service: each thing by itself, whatever becomes of others."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Awaitable, Callable

import pytest

from application.ports.ledger import LedgerUnavailable
from domain.refusals import Busy
from infra.following.refreshing import RefreshStopped
from infra.timers import Timer, Timers, undone
from tests.waiting import until

SOON = 0.01


class Counted:
    """Does something, and counts how often."""

    def __init__(self, *faults: Exception) -> None:
        self.times = 0
        self._faults = list(faults)

    async def __call__(self) -> int:
        """One time more; a fault comes first."""
        self.times += 1
        if self._faults:
            raise self._faults.pop(0)
        return 0

    async def again(self) -> bool:
        """Whether it was done a few times."""
        return self.times > 3


def timer(name: str, do: Callable[[], Awaitable[int]]) -> Timer:
    return Timer(name, do, SOON)


async def test_a_long_one_holds_up_no_other() -> None:
    house, ends = Counted(), asyncio.Event()

    async def long() -> int:
        await ends.wait()
        return 0

    running = asyncio.create_task(Timers(timer("reports", long), timer("house", house)).run())
    await until(house.again, "the other is done over and over")
    running.cancel()


async def test_a_fault_of_one_is_said_and_neither_ends_it_nor_any_other() -> None:
    broken, house = Counted(ZeroDivisionError("by zero")), Counted()
    timers = Timers(timer("house", house), timer("reports", broken))
    running = asyncio.create_task(timers.run())

    async def said() -> bool:
        why = timers.standstill
        return why is not None and why.sentence == (
            "reports: it failed with ZeroDivisionError: by zero"
        )

    async def well() -> bool:
        return broken.times > 1 and timers.standstill is None

    await until(said, "it is said")
    await until(house.again, "the other goes on")
    await until(well, "and it is done again")
    running.cancel()


async def test_what_the_ledger_cannot_take_now_is_put_off_and_done_later() -> None:
    later = Counted(LedgerUnavailable(), LedgerUnavailable(), LedgerUnavailable())
    timers = Timers(timer("housekeeping", later))
    running = asyncio.create_task(timers.run())

    async def put_off() -> bool:
        return timers.standstill is not None

    await until(put_off, "it is put off")
    assert timers.standstill is not None
    assert timers.standstill.reason == "housekeeping is postponed: LedgerUnavailable"

    async def done() -> bool:
        return later.times > 3 and timers.standstill is None

    await until(done, "it is done later")
    running.cancel()


@pytest.mark.parametrize(
    "fault", [Busy(), RefreshStopped(group="figures", reason="no")], ids=["refusal", "fault"]
)
def test_what_a_process_of_celerys_failed_of_is_told_in_another(fault: Exception) -> None:
    told = pickle.loads(pickle.dumps(fault))
    assert undone("it", told) == undone("it", fault)
    assert (type(told), str(told)) == (type(fault), str(fault))
