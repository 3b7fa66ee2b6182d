"""Whether what a chain needs beside the service is installed: one club needs none of it."""

from __future__ import annotations

from importlib.metadata import distributions

from infra.faults import Fault
from infra.settings import Settings

NEEDED = ("aiokafka", "faust-streaming")
"""What has to be there of the extra `chain`, as it is called where it is installed from."""


class ChainNotInstalled(Fault):
    """What a chain of clubs needs is not installed here.

    `make chain` installs it, as does `pip install --no-deps --require-hashes --requirement
    requirements-chain.lock`.
    """


class NoKafka(Fault):
    """There is no Kafka: CLUB_KAFKA_URL says where one is."""


def look_for_chain() -> None:
    """See to it that all is installed; raises ChainNotInstalled."""
    # By their distributions: Faust, once it is imported, hides where it was found.
    if not all(any(distributions(name=name)) for name in NEEDED):
        raise ChainNotInstalled


def look_for_kafka(settings: Settings) -> None:
    """See to it that Kafka can be spoken to; raises ChainNotInstalled or NoKafka."""
    look_for_chain()
    if settings.kafka_url is None:
        raise NoKafka
