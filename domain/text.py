"""Text as people read it: what of it can be seen, and which texts are taken for the same.

What cannot be seen is listed here rather than asked of the machine's Unicode, so that every
release of Python decides the same.
"""

from __future__ import annotations

import re
import unicodedata

MOST_MARKS = 30
"""Marks on one letter, as in the stream-safe text of UAX #15; no language has half as many."""

UNSEEN = (
    r"\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5"
    r"\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffc"
)
"""What stands between the brackets of a pattern for characters that are never seen.

C1 controls, format characters with all that turn text around, line and paragraph separators,
letters and signs without a shape. Of these, the first 65,536 characters of Unicode alone: not
everybody who reads patterns takes the others.
"""

_SOMETIMES = r"\u180b-\u180d\u180f\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef"
"""Joiners, and what chooses between shapes: unseen by themselves, and needed in some places."""

_UNSEEN = re.compile(
    rf"[{UNSEEN}{_SOMETIMES}\ud800-\udfff\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    r"\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_SOMETIMES_UNSEEN = re.compile(f"[{_SOMETIMES}]")
_BLANK = re.compile("\u2800")
"""The braille pattern without a dot: a blank that does not say so."""

_JOINERS = "\u200c\u200d"
_NEEDS_JOINERS = re.compile(
    "[\u0600-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u18af\ufb50-\ufdff\ufe70-\ufefc"
    "\U00010d00-\U00010d3f\U00011000-\U00011fff\U0001e900-\U0001e95f]"
)
"""Scripts whose letters join, from Arabic to Mongolian and those of India."""

_VIRAMA = 9
"""The combining class of the sign that takes the vowel from a letter of India."""

_EMOJI_STYLES = "\ufe0e\ufe0f"
_SKIN = re.compile("[\U0001f3fb-\U0001f3ff]")


def composed(text: str) -> str:
    """The text in NFC: the one form in which it is kept, whatever device it was typed on.

    To be asked only of text that has no `pile`, as putting many marks in order takes very long.
    """
    return unicodedata.normalize("NFC", text)


def forms(text: str) -> tuple[str, ...]:
    """What devices may have made of one text: NFC, NFD, and as it came; plain text is one."""
    return tuple(dict.fromkeys((composed(text), unicodedata.normalize("NFD", text), text)))


def pile(text: str) -> bool:
    """Whether more marks than any language has stand on one letter."""
    run = 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run > MOST_MARKS:
            return True
    return False


def unseen(text: str) -> str | None:
    """The first character that cannot be seen, or that turns text around, where there is one.

    Joiners may stand where a script needs them, and signs may choose between two shapes.
    """
    for found in _UNSEEN.finditer(text):
        if not _has_its_place(text, found.start()):
            return found[0]
    return None


def blank(text: str) -> bool:
    """Whether it shows as nothing: blanks, unseen characters and marks on no letter."""
    return not any(_shows(character) for character in text)


def folded(text: str) -> str:
    """What texts have in common that people take for the same.

    NFKC, case folded, without what cannot be seen, and blanks collapsed.
    """
    seen = _BLANK.sub(" ", _UNSEEN.sub("", text))
    once = unicodedata.normalize("NFKC", unicodedata.normalize("NFD", seen).casefold())
    # Folding undoes some of the form, and the form brings forth letters to be folded.
    return " ".join(unicodedata.normalize("NFKC", once.casefold()).split())


_LETTERS = str.maketrans(
    {
        "ø": "o",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "ħ": "h",
        "ı": "i",
        "ŧ": "t",
        "æ": "ae",
        "œ": "oe",
        "þ": "th",
    }
)
"""Letters that no form of Unicode takes apart, and as what they are typed where there are none."""

_TRANSCRIBED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})
"""As what others are typed by those who know."""


def plain(text: str) -> str:
    """The text as it is typed in haste: folded, and its letters without accents."""
    apart = unicodedata.normalize("NFKD", folded(text).translate(_LETTERS))
    return "".join(c for c in apart if not unicodedata.combining(c))


def words(text: str, most: int) -> list[str]:
    """What a name is found by: each of its words, with all that follows it.

    At most so many, and as many once more in another spelling.

    `van der Berg` is found by `vanderberg`, `derberg` and `berg`; `Müller` by `muller` and
    `mueller`.
    """
    found: dict[str, None] = {}
    for spelling in (text, folded(text).translate(_TRANSCRIBED)):
        parts = _WORD.findall(plain(spelling))
        starts = range(min(most, len(parts)))
        found |= dict.fromkeys("".join(parts[begin:]) for begin in starts)
    return list(found)


_WORD = re.compile(r"[^\W_]+")


def _shows(character: str) -> bool:
    kind = unicodedata.category(character)
    if kind[0] in "ZM" or kind in {"Cc", "Cf", "Cs"}:
        return False
    return not _UNSEEN.match(character) and not _BLANK.match(character)


def _has_its_place(text: str, at: int) -> bool:
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    if not before:
        return False
    if text[at] in _JOINERS:
        return _joins_letters(before, after) or (
            text[at] == "\u200d" and _joins_signs(before, after)
        )
    chooses = _SOMETIMES_UNSEEN.match(text[at]) is not None
    return chooses and _has_shapes(before, emoji=text[at] in _EMOJI_STYLES)


def _joins_letters(before: str, after: str) -> bool:
    if not _is_letter(before):
        return False
    # After a virama it also says how the last letter of a word looks.
    return _is_letter(after) or unicodedata.combining(before) == _VIRAMA


def _is_letter(character: str) -> bool:
    needs = _NEEDS_JOINERS.match(character) is not None
    return needs and unicodedata.category(character)[0] in "LM" and not _UNSEEN.match(character)


def _joins_signs(before: str, after: str) -> bool:
    """As in the signs of families and professions."""
    ends = before == "\ufe0f" or _SKIN.match(before) or unicodedata.category(before) == "So"
    return bool(ends) and bool(after) and unicodedata.category(after) == "So"


def _has_shapes(before: str, *, emoji: bool) -> bool:
    kind = unicodedata.category(before)
    return kind == "Lo" or (emoji and (kind[0] in "SP" or kind == "Nd"))
