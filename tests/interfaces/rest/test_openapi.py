"""The service's own OpenAPI document: valid, complete, and true."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import schemathesis

from application.access import THE_CLUB, Caller
from tests.conftest import Rest
from tests.interfaces.rest.scenes import furnished
from tests.interfaces.rest.serving import served

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
    "ensure_resource_availability",
)
"""Not `positive_data_acceptance`, as what fits the document may still name who is not there; nor
`ignored_auth`, as the tests of tokens and of access say more in less time."""


class AlwaysAnAdmin:
    """Lets everybody in as somebody who cannot be deleted on the way."""

    async def of(self, token: str) -> Caller:
        return THE_CLUB


async def test_schemathesis_finds_no_fault_and_no_undocumented_answer(
    rest: Rest, tmp_path: Path
) -> None:
    await furnished(rest)
    club = replace(rest.club, callers=AlwaysAnAdmin())  # type: ignore[arg-type]
    async with served(club) as url:
        command = [
            *("-m", "schemathesis.cli", "run", f"{url}/openapi.json"),
            *("--header", "Authorization: Bearer any"),
            *("--checks", ",".join(CHECKS)),
            *("--max-examples", "10", "--generation-deterministic", "--seed", "1"),
            *("--continue-on-failure", "--no-color"),
            *("--suppress-health-check", "all", "--warnings", "off"),
        ]
        run = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await run.communicate()
    assert run.returncode == 0, said.decode()


async def test_the_document_is_valid_to_the_last_field(rest: Rest) -> None:
    document = (await rest.http.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1.")
    schemathesis.openapi.from_dict(document).validate()
    text = json.dumps(document)
    schemas = document["components"]["schemas"]
    assert [name for name in schemas if f'"#/components/schemas/{name}"' not in text] == []


async def test_every_answer_of_the_document_says_what_it_is(rest: Rest) -> None:
    document = (await rest.http.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["description"], (method, path)
            for status, answer in operation["responses"].items():
                kinds = set(answer.get("content", {}))
                problem = int(status) >= 400 and path != "/health/"
                empty = status in {"204", "304"}
                expected = "application/problem+json" if problem else "application/json"
                assert kinds == (set() if empty else {expected}), (method, path, status)


async def test_only_the_documented_spelling_is_documented(rest: Rest) -> None:
    paths = (await rest.http.get("/openapi.json")).json()["paths"]
    assert {"/trainings/exercice-ids/", "/trainings/exercice-ids/{train_id}/"} <= paths.keys()
    assert [path for path in paths if "exercise-ids" in path] == []


async def test_no_answer_of_the_document_has_a_password(rest: Rest) -> None:
    document = (await rest.http.get("/openapi.json")).json()
    for name, schema in document["components"]["schemas"].items():
        assert "password_hash" not in schema.get("properties", {}), name
        if name.endswith("Shown"):
            assert "password" not in schema["properties"], name


async def test_the_pages_of_the_documentation_need_no_other_host(rest: Rest) -> None:
    for page in ("/docs", "/redoc"):
        shown = await rest.http.get(page)
        assert shown.status_code == 200
        assert re.findall(r"(?:https?:)?//[^\s\"']+", shown.text) == []
        assets = re.findall(r"(?:src|href)=\"([^\"]+)\"", shown.text)
        assert len(assets) >= 2
        for asset in assets:
            found = await rest.http.get(asset)
            assert found.status_code == 200, asset
            assert found.content
