"""Text as people read it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.text import MOST_MARKS, blank, composed, folded, pile, unseen

NEEDED = {
    "a Persian word": "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "a conjunct of Hindi": "\u0915\u094d\u200d\u0937",
    "the last letter of a name in Malayalam": "\u0d30\u0d3e\u0d1c\u0d28\u0d4d\u200d",
    "a profession": "\U0001f469\U0001f3fd\u200d\U0001f3eb",
    "a flag": "\U0001f3f3\ufe0f\u200d\U0001f308",
    "a heart in colour": "\u2764\ufe0f",
    "a key": "1\ufe0f\u20e3",
    "a name in Japanese": "\u845b\U000e0100\u57ce",
}
MISPLACED = ["A\u200dB", "A\u200cB", "\u200d\u0915", "Ada\u200d", "1\u200d2", "A\ufe0f", "\ufe0fA"]


@pytest.mark.parametrize("text", NEEDED.values(), ids=NEEDED)
def test_what_a_script_needs_may_stand_where_it_needs_it(text: str) -> None:
    assert unseen(text) is None
    assert not blank(text)


@pytest.mark.parametrize("text", MISPLACED, ids=ascii)
def test_elsewhere_it_is_as_unseen_as_any_other(text: str) -> None:
    assert unseen(text) in set("\u200c\u200d\ufe0f")


def test_no_format_character_of_unicode_is_seen() -> None:
    every = map(chr, range(0x80, 0x110000))
    unseen_ones = [c for c in every if unicodedata.category(c) in {"Cf", "Zl", "Zp"}]
    assert len(unseen_ones) > 150
    for character in [*unseen_ones, *map(chr, range(0x7F, 0xA0)), *"\u3164\uffa0\u115f\u034f"]:
        assert unseen(f"Ada{character}L") == character, ascii(character)
        assert blank(f" {character}"), ascii(character)


@pytest.mark.parametrize(
    "text", ["", " ", "\u00a0", "\u200b", "\u2800", "\u3164", "\u0301", " \u20dd\u3000"], ids=ascii
)
def test_what_shows_as_nothing_is_blank(text: str) -> None:
    assert blank(text)


@pytest.mark.parametrize("text", ["a", "7", "-", "\U0001f4aa", "e\u0301", " \u00a0x"], ids=ascii)
def test_what_shows_as_something_is_not(text: str) -> None:
    assert not blank(text)


@given(st.text())
def test_whatever_form_a_text_comes_in_it_is_one_text(text: str) -> None:
    assert len({folded(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")}) == 1
    assert composed(unicodedata.normalize("NFD", text)) == composed(text)


@given(st.text())
def test_what_was_folded_once_stays_as_it_is(text: str) -> None:
    assert folded(folded(text)) == folded(text)


@given(st.text(alphabet=st.characters(codec="ascii")))
def test_plain_text_is_folded_as_it_always_was(text: str) -> None:
    assert folded(text.replace("\x7f", "")) == " ".join(text.replace("\x7f", "").casefold().split())


def test_marks_are_piled_up_by_nobody_who_writes_a_language() -> None:
    assert not pile("e" + "\u0301" * MOST_MARKS)
    assert pile("e" + "\u0301\u0323" * MOST_MARKS)
