"""Refusals: what the club says no with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import application.handlers  # noqa: F401 - knows every refusal there is
from domain.payments import ImpossibleStep
from domain.refusals import Refusal


def every_refusal(base: type[Refusal] = Refusal) -> Iterator[type[Refusal]]:
    yield base
    for kind in base.__subclasses__():
        yield from every_refusal(kind)


def test_a_refusal_says_its_docstring_with_the_facts_of_the_case() -> None:
    refusal = ImpossibleStep(field="payment_status", status="PAID", wanted="FAILED")
    assert refusal.detail == str(refusal) == "A payment that is PAID cannot become FAILED."
    assert refusal.code == "impossible-step"


def test_every_refusal_has_a_code_and_words_of_its_own() -> None:
    kinds = list(every_refusal())
    assert len(kinds) > 20
    assert [code for code, n in Counter(kind.code for kind in kinds).items() if n > 1] == []
    assert [kind for kind in kinds if not kind.__dict__.get("__doc__")] == []
