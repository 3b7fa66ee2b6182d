"""`make bench`: what this service promises in numbers, measured here and now.

A missed target is printed as MISSED and is no error: this measures, the tests judge.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks import amqp, append, http, memory, projections, tokens
from tests.benchmarks.figures import Figure, figures_table
from tests.benchmarks.load import Loader
from tests.benchmarks.postgres import durable_postgres
from tests.benchmarks.servers import baseline_service, club_service

PARTS = ("append", "http", "tokens", "amqp", "projections", "memory")


class Report:
    """Figures and tables as they come in."""

    def __init__(self) -> None:
        self.figures: list[Figure] = []
        self.tables: list[str] = []


def run(parts: Sequence[str], quick: bool, calibrate: bool) -> Report:
    """The parts asked for, one after the other on one Postgres."""
    report = Report()
    with ExitStack() as opened:
        home = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="club-bench-")))
        home.chmod(0o755)  # Postgres does not run as root, and has to reach its data
        url = opened.enter_context(durable_postgres(home))
        loader = opened.enter_context(Loader())
        if "append" in parts:
            run_append(report, url, quick)
        if "http" in parts:
            run_http(report, url, home, quick, calibrate, loader)
        if "tokens" in parts:
            run_tokens(report, url, home, quick, loader)
        if "amqp" in parts:
            run_amqp(report, url, home, quick)
        if "projections" in parts or "memory" in parts:
            say("projections")
            projected = projections.measure(url, quick)
            if "projections" in parts:
                report.figures.extend(projected.figures())
            if "memory" in parts:
                report.figures.append(projected.memory_figure())
        if "memory" in parts:
            say("memory")
            run_memory(report, url, home, quick, calibrate, loader)
    return report


def run_amqp(report: Report, url: str, home: Path, quick: bool) -> None:
    say("amqp")
    report.figures.extend(amqp.measure(url, home, quick).figures())


def run_append(report: Report, url: str, quick: bool) -> None:
    say("append")
    appends = append.measure(url, quick)
    report.figures.append(appends.figure())
    report.tables.append(appends.growth_table())


def run_tokens(report: Report, url: str, home: Path, quick: bool, loader: Loader) -> None:
    say("tokens")
    with club_service(url, home, tokens.USERS, 1) as service:
        report.figures.append(tokens.measure(service, home, quick, loader).figure())


def run_http(
    report: Report, url: str, home: Path, quick: bool, calibrate: bool, loader: Loader
) -> None:
    say("http")
    scale = http.QUICK if quick else http.FULL
    many = scale.clients
    with ExitStack() as opened:
        ours = opened.enter_context(
            baseline_service(url, home, many, many, "baseline_again")
            if calibrate
            else club_service(url, home, many, many)
        )
        theirs = opened.enter_context(baseline_service(url, home, many, many))
        points = http.measure(ours, theirs, scale, loader)
    if not calibrate:
        report.figures.extend(http.figures(points))
    report.tables.append(http.growth_table(points))


def run_memory(
    report: Report, url: str, home: Path, quick: bool, calibrate: bool, loader: Loader
) -> None:
    many = memory.clients_needed(quick)
    with (
        baseline_service(url, home, many, many, "baseline_memory")
        if calibrate
        else club_service(url, home, many, many)
    ) as service:
        report.figures.append(memory.measure(service, quick, loader).figure())


def say(part: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {part} …", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a look in about a minute; rough")
    parser.add_argument("--only", choices=PARTS, help="one part alone")
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="the plain service in our place: its ratios of about 1.0 show the bench's own error",
    )
    asked = parser.parse_args()
    started = time.monotonic()
    report = run([asked.only] if asked.only else PARTS, asked.quick, asked.calibrate)
    print(
        f"\n{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python"
        f" {platform.python_version()}; both sides, Postgres and the load on this machine;"
        f" {time.monotonic() - started:.0f} s\n"
    )
    print(figures_table(report.figures))
    for grown in report.tables:
        print(f"\n{grown}")


if __name__ == "__main__":
    main()
