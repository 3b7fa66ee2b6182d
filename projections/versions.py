"""The version that each row shows, kept out of the documented tables; it is the ETag."""

from __future__ import annotations

from domain.recorded import Recorded
from projections.engine.model import ReadModel
from projections.engine.table import Operations, Patch, Put, Table

VERSIONS = Table(
    "aggregate_versions",
    key=("aggregate_id",),
    columns='aggregate_id text COLLATE "C" NOT NULL, version integer NOT NULL',
)
"""Not documented."""


def project(recorded: Recorded) -> Operations:
    """Every event is one version more."""
    key, version = recorded.event.originator_id, recorded.event.originator_version
    if version == 1:
        yield Put(VERSIONS, {"aggregate_id": key, "version": version})
    else:
        yield Patch(VERSIONS, (key,), {"version": version})


def versions_of(*kinds: str) -> ReadModel:
    """The versions of these kinds of aggregates."""
    return ReadModel("versions", kinds, (VERSIONS,), project)
