"""Reports on new users."""

from __future__ import annotations

import pytest

from domain.reports import DrawnUp, Report, ReportEndsFirst
from tests.domain.scenario import START, news, told


@pytest.mark.parametrize("end", ["2026-01-31", "2026-02-28"])
def test_a_report_covers_the_days_from_its_start_to_its_end(end: str) -> None:
    report = Report.draw_up(2, "2026-01-31", end, "Europe/Berlin", START)
    days = {"report_date_start": "2026-01-31", "report_date_end": end}
    moments = {
        "starts_at": "2026-01-30T23:00:00.000000Z",
        "ends_before": {"01": "2026-01-31T23:00:00.000000Z", "02": "2026-02-28T23:00:00.000000Z"}[
            end[5:7]
        ],
    }
    assert news(report) == [told(DrawnUp, **days, **moments, timezone="Europe/Berlin", daily=False)]
    assert report.row() == {"id": 2, **days}


def test_a_report_does_not_end_before_it_starts() -> None:
    with pytest.raises(ReportEndsFirst) as refused:
        Report.draw_up(2, "2026-01-31", "2026-01-30", "UTC", START)
    assert refused.value.field == "report_date_end"
