"""`make bench`: what this service promises in numbers, measured here and now.

Every figure is measured against something in the same run, in turn with it. A missed target is
printed as MISSED and is no error: this measures, the tests judge. A part that fails is named, all
others are shown, and it ends with 1.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import (
    amqp,
    append,
    audit,
    cascades,
    chain,
    finding,
    http,
    memory,
    projections,
    proof,
    reports,
    scale,
    tokens,
)
from tests.benchmarks.load import Loader
from tests.benchmarks.postgres import durable_postgres
from tests.benchmarks.report import Report, Shown
from tests.benchmarks.servers import baseline_service, club_service
from tests.servers import RABBITMQ, Program, see_to


@dataclass(frozen=True)
class Bench:
    """What every part has: one Postgres, a folder, and the process that sends load."""

    url: str
    home: Path
    quick: bool
    calibrate: bool
    loader: Loader


def run_append(bench: Bench) -> Iterator[Shown]:
    appends = append.measure(bench.url, bench.quick)
    yield appends.figure()
    yield appends.growth_table()


def run_http(bench: Bench) -> Iterator[Shown]:
    scale = http.QUICK if bench.quick else http.FULL
    url, home, many = bench.url, bench.home, scale.clients
    with ExitStack() as opened:
        ours = opened.enter_context(
            baseline_service(url, home, many, many, "baseline_again")
            if bench.calibrate
            else club_service(url, home, many, many)
        )
        theirs = opened.enter_context(baseline_service(url, home, many, many))
        points = http.measure(ours, theirs, scale, bench.loader)
    if not bench.calibrate:
        yield from http.figures(points)
    yield http.growth_table(points)


def run_finding(bench: Bench) -> Iterator[Shown]:
    yield from finding.measure(bench.url, bench.home, bench.quick, bench.loader)


def run_tokens(bench: Bench) -> Iterator[Shown]:
    with club_service(bench.url, bench.home, tokens.USERS, 1) as service:
        yield tokens.measure(service, bench.home, bench.quick, bench.loader).figure()


def run_amqp(bench: Bench) -> Iterator[Shown]:
    yield from amqp.measure(bench.url, bench.home, bench.quick)


def run_projections(bench: Bench) -> Iterator[Shown]:
    yield from projections.measure(bench.url, bench.home, bench.quick)


def run_reports(bench: Bench) -> Iterator[Shown]:
    yield from reports.measure(bench.url, bench.home, bench.quick, bench.loader)


def run_cascades(bench: Bench) -> Iterator[Shown]:
    yield from cascades.measure(bench.url, bench.quick).figures()


def run_audit(bench: Bench) -> Iterator[Shown]:
    yield from audit.measure(bench.url, bench.home, bench.quick, bench.loader)


def run_proof(bench: Bench) -> Iterator[Shown]:
    yield from proof.measure(bench.url, bench.home, bench.quick, bench.loader)


def run_chain(bench: Bench) -> Iterator[Shown]:
    yield from chain.measure(bench.url, bench.home, bench.quick)


def run_scale(bench: Bench) -> Iterator[Shown]:
    yield from scale.measure(bench.url, bench.home, bench.quick)


def run_memory(bench: Bench) -> Iterator[Shown]:
    many = memory.clients_needed(bench.quick)
    with (
        baseline_service(bench.url, bench.home, many, many, "baseline_memory")
        if bench.calibrate
        else club_service(bench.url, bench.home, many, many)
    ) as service:
        yield memory.measure(service, bench.quick, bench.loader).figure()


PARTS: Mapping[str, Callable[[Bench], Iterator[Shown]]] = {
    "append": run_append,
    "http": run_http,
    "finding": run_finding,
    "tokens": run_tokens,
    "amqp": run_amqp,
    "projections": run_projections,
    "reports": run_reports,
    "cascades": run_cascades,
    "audit": run_audit,
    "proof": run_proof,
    "chain": run_chain,
    "scale": run_scale,
    "memory": run_memory,
}
"""Every part by its name, in the order in which they are measured."""

NEEDS: Mapping[str, Sequence[Program]] = {"amqp": (RABBITMQ,)}
"""Programs that a part runs and no wheel brings."""


def needed_for(parts: Sequence[str]) -> set[Program]:
    """All programs that these parts run."""
    return {program for part in parts for program in NEEDS.get(part, ())}


def run(parts: Sequence[str], report: Report, quick: bool, calibrate: bool) -> None:
    """The parts asked for, one after the other on one Postgres."""
    with ExitStack() as opened:
        home = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="club-bench-")))
        home.chmod(0o755)  # Postgres does not run as root, and has to reach its data
        url = opened.enter_context(durable_postgres(home))
        loader = opened.enter_context(Loader())
        bench = Bench(url, home, quick, calibrate, loader)
        for part in parts:
            say(part)
            report.take(part, PARTS[part](bench))


def say(part: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {part} …", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a look in a minute or two; rough")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="these parts alone")
    parser.add_argument("--write", type=Path, help="a page to write it to: docs/figures.md")
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="the plain service in our place: its ratios of about 1.0 show the bench's own error",
    )
    asked = parser.parse_args()
    parts = [part for part in PARTS if not asked.only or part in asked.only]
    if asked.write and not asked.write.parent.is_dir():
        parser.error(f"there is no folder for {asked.write}")
    for program in needed_for(parts):
        see_to("The benchmarks", *program)
    for name in [name for name in os.environ if name.startswith("CLUB_")]:
        del os.environ[name]  # what is measured is a club with the settings that it comes with
    report = Report(f"{'A quick look' if asked.quick else 'All of it'} at {', '.join(parts)}")
    try:
        run(parts, report, asked.quick, asked.calibrate)
    finally:  # also where somebody has seen enough
        print(f"\n{report.text()}")
    if asked.write and report.failed:
        print(f"{asked.write} stays as it is, as a part failed", file=sys.stderr)
    elif asked.write:
        report.write(asked.write)
    sys.exit(bool(report.failed))


if __name__ == "__main__":
    main()
