"""Ending processes: with all that they started, and what somebody who was killed left."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from infra.servers import processes
from infra.servers.processes import end_groups, end_holders, has_ended
from tests.acceptance.service import until

PLAIN = "import time; print(flush=True); time.sleep(600)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {PLAIN}"
FAMILY = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {DEAF!r}]).wait()"

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a process with a session of its own, which is killed at the end."""
    with ExitStack() as stack:

        def started(code: str, *held: int) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-c", code]
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, start_new_session=True, pass_fds=held
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout is not None
            stack.callback(process.stdout.close)
            process.stdout.readline()
            return process

        yield started


@pytest.fixture(autouse=True)
def last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "LAST_WORDS", 0.5)


def test_a_group_is_ended_whoever_listens_and_also_without_its_first(start: Start) -> None:
    family, other = start(FAMILY), start(PLAIN)
    (child,) = psutil.Process(family.pid).children()
    family.kill()
    family.wait()
    assert not has_ended(child)

    end_groups([family.pid, other.pid], patience=0.5)

    assert has_ended(child)
    assert other.wait(10) < 0
    end_groups([family.pid])  # once more does no harm


def test_whoever_holds_the_file_is_ended_and_nobody_else(start: Start, tmp_path: Path) -> None:
    file, another = tmp_path / "mark", tmp_path / "another"
    with file.open("w") as mark, another.open("w") as theirs:
        held = [start(code, mark.fileno()) for code in (PLAIN, DEAF)]
        other = start(PLAIN, theirs.fileno())

        assert len(end_holders(file)) == len(held)

        assert all(process.wait(10) < 0 for process in held)
        assert other.poll() is None
        assert end_holders(file) == []
    assert end_holders(tmp_path / "nothing") == []


def test_whoever_waits_for_the_deaf_can_give_up(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "LAST_WORDS", 600.0)
    file = tmp_path / "mark"
    with file.open("w") as mark:
        held = start(DEAF, mark.fileno())

    def give_up() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        end_holders(file, give_up)
    assert held.poll() is None


def test_a_zombie_has_ended(start: Start) -> None:
    started = start(PLAIN)
    process = psutil.Process(started.pid)
    assert not has_ended(process)
    process.kill()
    until(lambda: has_ended(process), "nobody has waited for it, and it is over")
