"""Figures as CSV: opened right by a spreadsheet, which runs nothing of them."""

from __future__ import annotations

import csv
import io
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.figures import Column, Section, Unit, Value
from interfaces.forms.csv import cell, csv_of, file_name
from tests.interfaces.figures import money, section, span

TITLE, NET = Column("title", "Title", Unit.TEXT), Column("net", "Net", Unit.MONEY)


def of(*values: Value) -> Section:
    return section([(value, 1) for value in values], TITLE, NET, draw=None)


def read(raw: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline="")))


def test_it_is_utf_8_that_says_so_with_names_first_and_lines_as_rfc_4180_ends_them() -> None:
    raw = csv_of(of("Zürich"))
    assert raw == b"\xef\xbb\xbftitle,net\r\nZ\xc3\xbcrich,1\r\n"


def test_what_has_commas_quotes_or_lines_in_it_is_read_back_as_it_is() -> None:
    texts = ["a,b", 'say "so"', "one\ntwo", "one\r\ntwo", " around ", ""]
    assert [row[0] for row in read(csv_of(of(*texts)))[1:]] == texts


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "  =1+1", "\n=1", "\u00a0=1", "＝1", "a;=1"],
)
def test_no_text_is_run(text: str) -> None:
    shown = read(csv_of(of(text)))[1][0]
    for part in shown.replace("\t", ";").replace("\r", ";").replace("\n", ";").split(";"):
        assert part.strip()[:1] not in {"=", "+", "-", "@", "＝"}
    assert shown.replace("'", "") == text


@given(st.text(alphabet="=+-@;\t\r\n ,\"'a1＝", max_size=8))
def test_whatever_the_text_nothing_is_run_and_nothing_but_apostrophes_is_added(text: str) -> None:
    (_, (shown, one)) = read(csv_of(of(text)))
    assert one == "1"
    for part in shown.replace("\t", ";").replace("\r", ";").replace("\n", ";").split(";"):
        assert part.strip()[:1] not in {"=", "+", "-", "@", "＝"}
    assert shown.replace("'", "") == text.replace("'", "")


def test_numbers_stay_numbers_to_the_last_digit_also_below_nothing() -> None:
    values: list[Value] = [
        -3,
        Decimal("-12.00"),
        Decimal("1E+3"),
        Decimal("0.0000001"),
        10**30,
        None,
    ]
    assert [cell(value) for value in values] == [
        *("-3", "-12.00", "1000", "0.0000001", "1" + "0" * 30, "")
    ]


def test_a_file_is_called_after_what_is_in_it() -> None:
    figures = money(span())
    name = file_name(figures, figures.sections[1])
    assert name == "money-by-access-level-2026-03-01-to-2026-03-31.csv"
