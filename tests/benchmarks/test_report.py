"""What `make bench` says before, while and after it measures."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.benchmarks import __main__ as bench
from tests.benchmarks.figures import Figure
from tests.benchmarks.report import Report, Shown

APPEND = Figure("append", ours=60.0, theirs=10.0, ratio=6.0, target=5.0, unit="commands/s")
TAIL = Figure("tail", ours=10.0, theirs=100.0, ratio=0.1, target=0.2, unit="events/s")


def broken() -> Iterator[Shown]:
    yield APPEND
    raise ConnectionError("RabbitMQ is gone")


def test_what_is_missing_is_named_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.argv", ["bench"])
    monkeypatch.setattr(servers, "_found", lambda _name, _package: None)
    monkeypatch.setattr(servers, "_install", lambda _packages: None)
    monkeypatch.setattr(bench, "run", lambda *_: pytest.fail("it measures"))

    with pytest.raises(SystemExit) as ended:
        bench.main()

    sentence = "The benchmarks need rabbitmq-server: install the package rabbitmq-server."
    assert ended.value.code == sentence


def test_only_what_a_part_needs_has_to_be_there() -> None:
    assert bench.needed_for(["append", "http", "projections"]) == set()
    assert bench.needed_for(list(bench.PARTS)) == {servers.RABBITMQ}


def test_a_part_that_fails_is_named_and_takes_no_figure_away(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = Report("All of it")
    report.take("amqp", broken())
    sound: list[Shown] = [TAIL, "a table"]
    report.take("projections", sound)

    assert report.failed == ["amqp: ConnectionError: RabbitMQ is gone"]
    said, text = capsys.readouterr().out, report.text()
    for shown in (said, text):
        assert "FAILED amqp: ConnectionError: RabbitMQ is gone" in shown
        assert "append" in shown
        assert "tail" in shown
        assert "MISSED by 50%" in shown
        assert "a table" in shown


def test_figures_are_shown_as_they_come(capsys: pytest.CaptureFixture[str]) -> None:
    def part() -> Iterator[Shown]:
        yield APPEND
        assert "append: 60.00 beside 10.00 commands/s; 6.00x" in capsys.readouterr().out
        yield TAIL

    report = Report("All of it")
    report.take("append", part())
    assert report.figures == [APPEND, TAIL]


def test_the_page_says_what_and_when_but_not_where(tmp_path: Path) -> None:
    report = Report("All of it")
    report.take("append", [APPEND])
    report.write(tmp_path / "figures.md")

    page = (tmp_path / "figures.md").read_text()
    assert "release 0." in page
    assert "cores" in page
    assert "6.00x" in page
    assert platform.node() not in page
    assert str(Path.cwd()) not in page
