"""Who is let in: a valid access token of this service, and nothing else."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from application.users import ChangeUser, DeleteUser, UserChanges
from domain.values import Role
from infra.callers import FRESH
from infra.tokens import AUDIENCE, TOKEN_TYPE, AccessTokens, Keys
from tests.conftest import Rest

Claims = dict[str, Any]
OTHER_KEYS = Keys(rsa.generate_private_key(public_exponent=65537, key_size=2048))


class Forge:
    """Makes tokens that are almost valid."""

    def __init__(self, rest: Rest, user_id: int) -> None:
        self.keys = rest.club.keys
        self.issuer = rest.club.settings.issuer
        self.user_id = user_id

    def claims(self, **changes: Any) -> Claims:
        """Those of a valid token, but for what changes; None takes a claim out."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": str(self.user_id),
            "jti": "one",
            "iat": now,
            "exp": now + 600,
            **changes,
        }
        return {name: claim for name, claim in claims.items() if claim is not None}

    def token(self, claims: Claims | None = None, **headers: Any) -> str:
        """Signed with the club's own key."""
        given = {"typ": TOKEN_TYPE, "kid": self.keys.kid, **headers}
        return jwt.encode(claims or self.claims(), self.keys.private, "RS256", headers=given)

    def signed_as(self, header: str, payload: str) -> str:
        """Signed with the club's own key, whatever the parts say."""
        algorithm = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256)
        signed = f"{_part(header.encode())}.{_part(payload.encode())}"
        return f"{signed}.{_part(algorithm.sign(signed.encode(), self.keys.private))}"

    def public_pem(self) -> bytes:
        return self.keys.public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bare(header: Claims, claims: Claims, signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(map(_part, parts))


def _hs256_with_the_public_key(forge: Forge) -> str:
    algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    header = {"alg": "HS256", "typ": TOKEN_TYPE, "kid": forge.keys.kid}
    signed = _bare(header, forge.claims()).rpartition(".")[0]
    return f"{signed}.{_part(algorithm.sign(signed.encode(), forge.public_pem()))}"


def _tampered(forge: Forge) -> str:
    header, _, signature = forge.token().split(".")
    return f"{header}.{_part(json.dumps(forge.claims(sub='1')).encode())}.{signature}"


def _of_other_keys(forge: Forge) -> str:
    headers = {"typ": TOKEN_TYPE, "kid": forge.keys.kid}
    return jwt.encode(forge.claims(), OTHER_KEYS.private, "RS256", headers=headers)


def _ago(seconds: int) -> int:
    return int(time.time()) - seconds


INVALID: dict[str, Callable[[Forge], str]] = {
    "expired": lambda f: f.token(f.claims(exp=_ago(1))),
    "not valid yet": lambda f: f.token(f.claims(nbf=_ago(-60))),
    "issued in the future": lambda f: f.token(f.claims(iat=_ago(-60))),
    "of another key": _of_other_keys,
    "of another club": lambda f: AccessTokens(OTHER_KEYS, f.issuer).issue(f.user_id, 600),
    "of another issuer": lambda f: f.token(f.claims(iss="https://elsewhere.example")),
    "for another audience": lambda f: f.token(f.claims(aud="another-api")),
    "unsigned": lambda f: _bare({"alg": "none", "typ": TOKEN_TYPE, "kid": f.keys.kid}, f.claims()),
    "unsigned, spelled otherwise": lambda f: _bare(
        {"alg": "nOnE", "typ": TOKEN_TYPE, "kid": f.keys.kid}, f.claims()
    ),
    "HS256 signed with the public key": _hs256_with_the_public_key,
    "RS512": lambda f: jwt.encode(
        f.claims(), f.keys.private, "RS512", headers={"typ": TOKEN_TYPE, "kid": f.keys.kid}
    ),
    "another kind of token": lambda f: f.token(typ="JWT"),
    "a refresh token": lambda f: f.token(typ="rt+jwt"),
    "without a key id": lambda f: f.signed_as(
        json.dumps({"alg": "RS256", "typ": TOKEN_TYPE}), json.dumps(f.claims())
    ),
    "with another key id": lambda f: f.token(kid="another"),
    "with a key id that is no text": lambda f: f.signed_as(
        json.dumps({"alg": "RS256", "typ": TOKEN_TYPE, "kid": 7}), json.dumps(f.claims())
    ),
    **{
        f"without {claim}": lambda f, claim=claim: f.token(f.claims(**{claim: None}))  # type: ignore[misc]
        for claim in ("iss", "aud", "sub", "jti", "iat", "exp")
    },
    "a subject that is no number": lambda f: f.token(f.claims(sub="ada")),
    "a subject in other digits": lambda f: f.token(f.claims(sub="\u0661")),
    "a subject with a space": lambda f: f.token(f.claims(sub=f" {f.user_id}")),
    "a negative subject": lambda f: f.token(f.claims(sub="-1")),
    "subject zero": lambda f: f.token(f.claims(sub="0")),
    "a subject beyond integer": lambda f: f.token(f.claims(sub=str(2**31))),
    "a subject beyond bigint": lambda f: f.token(f.claims(sub=str(2**70))),
    "a subject of a thousand digits": lambda f: f.token(f.claims(sub="9" * 1000)),
    "a subject that is a JSON number": lambda f: f.signed_as(
        json.dumps({"alg": "RS256", "typ": TOKEN_TYPE, "kid": f.keys.kid}),
        json.dumps(f.claims(sub=f.user_id)),
    ),
    "that ends never": lambda f: f.signed_as(
        json.dumps({"alg": "RS256", "typ": TOKEN_TYPE, "kid": f.keys.kid}),
        json.dumps(f.claims(exp=float("inf"))),
    ),
    "that ends at no time": lambda f: f.token(f.claims(exp="tomorrow")),
    "whose claims are a list": lambda f: f.signed_as(
        json.dumps({"alg": "RS256", "typ": TOKEN_TYPE, "kid": f.keys.kid}), "[]"
    ),
    "tampered with": _tampered,
    "cut short": lambda f: f.token()[:-10],
    "with one part more": lambda f: f.token() + ".more",
    "of nobody who was ever there": lambda f: f.token(f.claims(sub="999999")),
    "huge": lambda f: f.token(f.claims(more="x" * 20_000)),
    "of brackets in brackets": lambda _: f"{_part(b'[' * 2900)}.e30.AAAA",
    "garbage": lambda _: "garbage",
    "garbage in three parts": lambda _: "%%%.###.!!!",
    "not ASCII": lambda _: "\u00e9\u00e8.\u00fc.\u00f1",
    "only dots": lambda _: "..",
}


def refused(answer: httpx.Response) -> bool:
    """Whether the answer is the one for whoever holds no valid token."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == "/problems/invalid-token"
    return answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer"


def _bearing(token: str) -> dict[bytes, bytes]:
    return {b"Authorization": b"Bearer " + token.encode("latin-1")}


async def test_a_token_is_only_good_whole_and_in_time(rest: Rest) -> None:
    user_id, _ = await rest.user()
    forge = Forge(rest, user_id)
    path = f"/users/{user_id}/"
    valid = await rest.http.get(path, headers=_bearing(forge.token()))
    assert valid.status_code == 200
    let_in = []
    for what, forged in INVALID.items():
        answer = await rest.http.get(path, headers=_bearing(forged(forge)))
        if not refused(answer):
            let_in.append(what)
    assert let_in == []


async def test_a_bad_token_is_refused_even_where_none_is_needed(rest: Rest) -> None:
    body = {"username": "ada", "email": "ada@example.com", "password": "long enough"}
    answer = await rest.http.post("/users/", json=body, headers=_bearing("garbage"))
    assert refused(answer)


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Digest x", "bearer\t", "Token {token}"],
)
async def test_a_token_comes_as_a_bearer_token(rest: Rest, authorization: str) -> None:
    user_id, signed_in = await rest.user()
    header = authorization.format(token=signed_in["Authorization"].partition(" ")[2])
    answer = await rest.http.get(f"/users/{user_id}/", headers={"Authorization": header})
    assert refused(answer)


async def test_the_scheme_is_known_in_any_case(rest: Rest) -> None:
    user_id, signed_in = await rest.user()
    header = signed_in["Authorization"].replace("Bearer", "bEARER")
    answer = await rest.http.get(f"/users/{user_id}/", headers={"Authorization": header})
    assert answer.status_code == 200


async def test_a_token_seen_before_ends_in_time_too(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id, signed_in = await rest.user()
    path = f"/users/{user_id}/"
    assert (await rest.http.get(path, headers=signed_in)).status_code == 200
    later = time.time() + 600
    monkeypatch.setattr("infra.tokens.time", SimpleNamespace(time=lambda: later))
    assert refused(await rest.http.get(path, headers=signed_in))


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock by which roles are believed; `moment.now` sets it."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr("infra.callers.time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


async def test_a_new_role_holds_within_seconds(rest: Rest, moment: SimpleNamespace) -> None:
    user_id, signed_in = await rest.user()
    assert (await rest.http.get("/users/", headers=signed_in)).status_code == 403
    await rest.do(ChangeUser(user_id, UserChanges.model_validate({"role": Role.ADMIN})))
    moment.now += FRESH + 0.001
    assert (await rest.http.get("/users/", headers=signed_in)).status_code == 200
    await rest.do(ChangeUser(user_id, UserChanges.model_validate({"role": Role.USER})))
    moment.now += FRESH + 0.001
    assert (await rest.http.get("/users/", headers=signed_in)).status_code == 403


async def test_a_role_is_believed_for_two_seconds_without_asking(
    rest: Rest, moment: SimpleNamespace
) -> None:
    user_id, signed_in = await rest.user()
    assert (await rest.http.get("/users/", headers=signed_in)).status_code == 403
    await rest.do(ChangeUser(user_id, UserChanges.model_validate({"role": Role.ADMIN})))
    moment.now += FRESH - 0.001
    assert (await rest.http.get("/users/", headers=signed_in)).status_code == 403


async def test_a_deleted_user_is_let_in_no_more(rest: Rest, moment: SimpleNamespace) -> None:
    user_id, signed_in = await rest.user()
    path = f"/users/{user_id}/"
    assert (await rest.http.get(path, headers=signed_in)).status_code == 200
    await rest.do(DeleteUser(user_id))
    moment.now += FRESH + 0.001
    assert refused(await rest.http.get(path, headers=signed_in))
