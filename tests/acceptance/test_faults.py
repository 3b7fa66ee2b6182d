"""Through every failure nothing is lost and nothing happens twice: `make faults`, a small load."""

from __future__ import annotations

import subprocess
import sys

from tests.acceptance.service import CHECKOUT

MESSAGES = 600
STRIKES = ("kill", "restart")
"""What is frozen, cut off or flooded takes its minutes: that is for `make faults` itself."""


def test_a_load_of_payments_survives_every_kill_and_restart(rabbitmq: str) -> None:
    # The fixture sees to it that RabbitMQ is installed; the load has one of its own to restart.
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", "--messages", str(MESSAGES), "--only", *STRIKES],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    verdicts = [line for line in done.stdout.splitlines() if " held" in line]
    assert len(verdicts) == 13, done.stdout
