"""What came of the parts: said as it comes, and once more as a whole."""

import os
import platform
import time
import traceback
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from tests.benchmarks.figures import Figure, figures_table

Shown = Figure | str
"""A figure, or a table that shows more than its verdict."""


class Report:
    """Figures and tables as they come in, and the parts that did not come to their end."""

    def __init__(self, how: str) -> None:
        """`how` says what was asked for."""
        self.how = how
        self.figures: list[Figure] = []
        self.tables: list[str] = []
        self.failed: list[str] = []
        self._began = time.monotonic()

    def take(self, part: str, found: Iterable[Shown]) -> None:
        """All that a part measures; where it fails, what it has measured until then."""
        try:
            for one in found:
                self._add(one)
        except Exception as fault:  # noqa: BLE001 - whatever ended it, what others measure counts
            self.failed.append(f"{part}: {type(fault).__name__}: {_first_line(fault)}")
            traceback.print_exc()
            print(f"FAILED {self.failed[-1]}", flush=True)

    def _add(self, one: Shown) -> None:
        if isinstance(one, Figure):
            self.figures.append(one)
            print(one.line(), flush=True)
        else:
            self.tables.append(one)
            print(f"\n{one}\n", flush=True)

    def text(self) -> str:
        """Everything: the machine, the figures beside their targets, the tables."""
        found = [
            f"{self.how} on {_machine()}; both sides, Postgres and the load on it;"
            f" {time.monotonic() - self._began:.0f} s",
            *([figures_table(self.figures)] if self.figures else []),
            *(f"FAILED {part}" for part in self.failed),
            *self.tables,
        ]
        return "\n\n".join(found)

    def write(self, path: Path) -> None:
        """The same as a page of the documents."""
        path.write_text(PAGE.format(text=self.text(), release=_release()))


PAGE = """# Figures

What `make bench` printed, {release}. An absolute number says little about another machine, or about
this one on another day: what counts is the ratio, whose two sides were measured in turn in one run.
[Decision 27](decisions/0027-figures-are-ratios.md) says what each is measured against, and why its
target is what it is.

```text
{text}
```
"""


def _first_line(fault: Exception) -> str:
    return next(iter(str(fault).splitlines()), "")


def _machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores,"
        f" {memory:.0f} GiB of memory, Python {platform.python_version()}"
    )


def _release() -> str:
    return f"release {version('training-api-service')}, {datetime.now(UTC):%Y-%m-%d}"
