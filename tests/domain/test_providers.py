"""Payment providers: which of their secrets are good."""

from __future__ import annotations

import pytest

from domain.providers import Disabled, Provider, ProviderDisabled, Registered, SecretAdded
from tests.domain.scenario import START, Told, after, given, news, told

NOW = after(days=1)
REGISTERED = told(Registered)
SECOND, THIRD = (told(SecretAdded, number_of_secret=number) for number in (2, 3))
DISABLED = told(Disabled)


def test_a_new_provider_has_one_secret() -> None:
    provider = Provider.register("acme-pay", START)
    assert news(provider) == [REGISTERED]
    assert (provider.id, provider.secrets) == ("provider-acme-pay", (1,))


@pytest.mark.parametrize(
    ("history", "good"),
    [
        ([], (1,)),
        ([SECOND], (1, 2)),
        ([SECOND, THIRD], (2, 3)),
        ([DISABLED], ()),
        ([SECOND, DISABLED], ()),
        ([DISABLED, SECOND], (2,)),
        ([SECOND, DISABLED, THIRD], (3,)),
    ],
)
def test_the_two_newest_secrets_since_it_was_last_disabled_are_good(
    history: list[Told], good: tuple[int, ...]
) -> None:
    assert given(Provider, "acme", REGISTERED, *history).secrets == good


@pytest.mark.parametrize("history", [[SECOND], [SECOND, DISABLED]])
def test_a_secret_is_never_given_twice(history: list[Told]) -> None:
    provider = given(Provider, "acme", REGISTERED, *history)
    assert provider.add_secret(NOW) == 3
    assert news(provider) == [THIRD]


def test_a_provider_is_disabled_once() -> None:
    provider = given(Provider, "acme", REGISTERED)
    provider.disable(NOW)
    with pytest.raises(ProviderDisabled):
        provider.disable(NOW)
    assert news(provider) == [DISABLED]
