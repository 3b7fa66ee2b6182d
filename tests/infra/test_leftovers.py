"""What somebody who was killed left running: known again, and ended; nothing else is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from infra import leftovers
from infra.leftovers import SAME, end_what_was_left, note

DEAF = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True);"
    "time.sleep(600)"
)
PLAIN = "import time; print(flush=True); time.sleep(600)"


@pytest.fixture(params=[PLAIN, DEAF], ids=["plain", "deaf"])
def process(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs, until it is killed."""
    command = [sys.executable, "-c", request.param]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as started:
        assert started.stdout is not None
        started.stdout.readline()
        yield started
        started.kill()


def test_it_is_ended_whether_it_listens_or_not(
    process: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "LAST_WORDS", 0.5)
    file = tmp_path / "pid"
    note(file, process.pid)
    assert end_what_was_left(file)
    assert process.wait(10) < 0
    assert not end_what_was_left(file)


def test_another_process_that_got_its_number_is_let_be(
    process: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    file = tmp_path / "pid"
    started = psutil.Process(process.pid).create_time()
    file.write_text(f"{process.pid} {started - SAME - 1}\n")
    assert not end_what_was_left(file)
    assert process.poll() is None


@pytest.mark.parametrize("text", ["", "x y", "1", "4194304000 1.5\n"])
def test_a_note_that_says_nothing_ends_nothing(tmp_path: Path, text: str) -> None:
    file = tmp_path / "pid"
    assert not end_what_was_left(file)
    file.write_text(text)
    assert not end_what_was_left(file)
