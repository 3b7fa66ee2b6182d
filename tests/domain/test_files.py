"""What each file of the domain begins with: what one came for."""

from __future__ import annotations

import inspect
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

import pytest

import domain
from domain.aggregate import Aggregate, Event
from domain.refusals import Refusal

MODULES = [import_module(f"domain.{module.name}") for module in iter_modules(domain.__path__)]


def lines_of(module: ModuleType, base: type) -> list[int]:
    """Where the module's own classes of this sort begin."""
    return [
        inspect.getsourcelines(one)[1]
        for one in vars(module).values()
        if inspect.isclass(one) and issubclass(one, base) and one.__module__ == module.__name__
    ]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_refusals_come_first_then_the_aggregate_then_its_events(module: ModuleType) -> None:
    found = [line for base in (Refusal, Aggregate, Event) for line in lines_of(module, base)]
    assert found == sorted(found)
