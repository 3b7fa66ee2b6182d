"""The keys that sign: they are rotated, read by many processes, and survive what goes wrong."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from structlog.testing import capture_logs

from application.ports.signing_in import InvalidToken, RefreshClaims
from infra.secrets.keys import FRESH, Key, Keys, UnreadableKey
from infra.secrets.tokens import AUDIENCE, SignedTokens
from tests.conftest import Rest
from tests.waiting import until

ISSUER = "club"
HOUR = 3600
PRIVATE_PARTS = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


@pytest.fixture
def home(signing_key: Path, tmp_path: Path) -> Path:
    """A home with a key, as it was before there was any rotation: only `signing.pem`."""
    home = tmp_path / "club"
    shutil.copytree(signing_key, home)
    return home


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clocks by which keys are looked at and end; `moment.now` sets both."""
    clock = SimpleNamespace(now=time.time())
    told = SimpleNamespace(monotonic=lambda: clock.now, time=lambda: clock.now)
    monkeypatch.setattr("infra.secrets.keys.time", told)
    return clock


def tokens_of(keys: Keys) -> SignedTokens:
    return SignedTokens(keys, ISSUER)


def a_token(keys: Keys) -> str:
    return tokens_of(keys).access_token(7, 8, HOUR)


def kid_of(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


def is_good(token: str, keys: Keys) -> bool:
    """Whether whoever has these keys takes it for an access token, and has not seen it before."""
    try:
        return tokens_of(keys).check(token).user_id == 7
    except InvalidToken:
        return False


# --- rotation ----------------------------------------------------------------------------------


def test_tokens_of_an_old_key_are_good_and_new_ones_have_the_new_key(home: Path) -> None:
    keys = Keys(home)
    tokens = tokens_of(keys)
    seen, unseen = a_token(keys), a_token(keys)
    tokens.check(seen)
    refresh = tokens.refresh_token(RefreshClaims(7, 8, 3), int(time.time()) + HOUR)
    new = keys.rotate(time.time() + HOUR)
    assert tokens.check(seen).user_id == tokens.check(unseen).user_id == 7
    assert tokens.read_refresh_token(refresh) == RefreshClaims(7, 8, 3)
    after = a_token(keys)
    assert kid_of(after) == new.kid == keys.signing.kid != kid_of(seen)
    assert is_good(after, keys)


def test_keys_of_several_rotations_are_good_beside_each_other(home: Path) -> None:
    keys = Keys(home)
    issued = [a_token(keys)]
    for _ in range(3):
        keys.rotate(time.time() + HOUR)
        issued.append(a_token(keys))
    assert len({kid_of(token) for token in issued}) == 4
    assert all(is_good(token, found) for token in issued for found in (keys, Keys(home)))
    assert [key["kid"] for key in keys.jwks()["keys"]] == [
        kid_of(issued[3]),
        *(kid_of(token) for token in issued[:3]),
    ]


def test_a_retired_key_ends_at_its_time_even_for_tokens_seen_before(
    home: Path, moment: SimpleNamespace
) -> None:
    keys = Keys(home)
    tokens, token = tokens_of(keys), a_token(keys)
    keys.rotate(moment.now + 100)
    moment.now += 99.9
    assert tokens.check(token).user_id == 7
    moment.now += 0.1
    with pytest.raises(InvalidToken):
        tokens.check(token)
    assert not is_good(token, Keys(home))
    assert [key["kid"] for key in keys.jwks()["keys"]] == [keys.signing.kid]


def test_a_rotation_lets_go_of_keys_that_have_ended(home: Path, moment: SimpleNamespace) -> None:
    keys = Keys(home)
    keys.rotate(moment.now + 100)
    second = keys.signing.kid
    moment.now += 200
    keys.rotate(moment.now + 100)
    retired = json.loads((home / "keys/retired.json").read_bytes())["keys"]
    assert [key["kid"] for key in retired] == [second]


def test_a_rotation_with_no_time_left_ends_every_token_that_is_out(home: Path) -> None:
    keys = Keys(home)
    old = [a_token(keys)]
    keys.rotate(time.time() + HOUR)
    old.append(a_token(keys))
    keys.rotate(time.time())
    assert not any(is_good(token, found) for token in old for found in (keys, Keys(home)))
    assert is_good(a_token(keys), Keys(home))
    assert len(keys.jwks()["keys"]) == 1


# --- several processes -------------------------------------------------------------------------


def test_another_process_signs_with_the_new_key_within_a_second(
    home: Path, moment: SimpleNamespace
) -> None:
    here, there = Keys(home), Keys(home)
    old = there.signing.kid
    new = here.rotate(moment.now + HOUR).kid
    assert there.signing.kid == old
    moment.now += FRESH
    assert there.signing.kid == new
    assert is_good(a_token(there), here)


def test_another_process_ends_compromised_tokens_within_a_second(
    home: Path, moment: SimpleNamespace
) -> None:
    here, there = Keys(home), Keys(home)
    tokens, token = tokens_of(there), a_token(there)
    tokens.check(token)
    here.rotate(moment.now)
    moment.now += FRESH
    with pytest.raises(InvalidToken):
        tokens.check(token)


def test_a_token_of_a_new_key_is_good_everywhere_at_once(
    home: Path, moment: SimpleNamespace
) -> None:
    here, there = Keys(home), Keys(home)
    here.rotate(moment.now + HOUR)
    assert is_good(a_token(here), there)


def test_of_two_rotations_at_once_neither_loses_the_keys_of_the_other(home: Path) -> None:
    before = a_token(Keys(home))
    barrier = threading.Barrier(4)
    issued: list[str] = []

    def rotate() -> None:
        keys = Keys(home)
        barrier.wait()
        new = keys.rotate(time.time() + HOUR)
        issued.append(jwt.encode({}, new.private, "RS256", headers={"kid": new.kid}))

    threads = [threading.Thread(target=rotate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = Keys(home)
    assert all(after.public(kid_of(token)) for token in [before, *issued])
    assert len(after.jwks()["keys"]) == 5


AT_ONCE = 3
STARTING = """
import sys
from pathlib import Path
from infra.secrets.keys import Keys

at_once, number, *homes = sys.argv[1:]
for home in map(Path, homes):
    home.with_name(f"{home.name}-{number}").touch()
    while len(list(home.parent.glob(f"{home.name}-*"))) < int(at_once):
        pass
    print(Keys(home).signing.kid)
"""


def test_processes_that_start_at_once_on_an_empty_home_agree_on_one_key(tmp_path: Path) -> None:
    homes = [tmp_path / f"home{number:02}" for number in range(15)]
    starting = [
        subprocess.Popen(
            [sys.executable, "-c", STARTING, str(AT_ONCE), str(number), *map(str, homes)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(AT_ONCE)
    ]
    found = [process.communicate(timeout=120)[0].split() for process in starting]
    assert found == [[Keys(home).signing.kid for home in homes]] * AT_ONCE
    for home in homes:
        assert [path.name for path in (home / "keys").iterdir()] == ["signing.pem"]


# --- what goes wrong ---------------------------------------------------------------------------


@pytest.fixture
def cut_short(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Rotates, and ends before the new pair is written, as if the machine had stopped."""

    def rotate(until: float) -> None:
        def full(self: Key, path: Path, *, only_new: bool = False) -> None:
            raise OSError(28, "No space left on device", str(path))

        with monkeypatch.context() as broken:
            broken.setattr(Key, "write", full)
            with pytest.raises(OSError, match="No space"):
                Keys(home).rotate(until)

    return rotate


def test_a_rotation_that_was_cut_short_leaves_every_token_good(
    home: Path, moment: SimpleNamespace, cut_short: Callable[[float], None]
) -> None:
    keys = Keys(home)
    issued = [a_token(keys)]
    keys.rotate(moment.now + HOUR)
    issued.append(a_token(keys))
    cut_short(moment.now + 100)
    moment.now += FRESH
    issued.append(a_token(keys))
    assert kid_of(issued[2]) == kid_of(issued[1])
    assert all(is_good(token, found) for token in issued for found in (keys, Keys(home)))
    shown = [key["kid"] for key in Keys(home).jwks()["keys"]]
    assert shown == [kid_of(issued[1]), kid_of(issued[0])]


def test_a_key_that_signs_does_not_end_because_a_rotation_was_cut_short_long_ago(
    home: Path, moment: SimpleNamespace, cut_short: Callable[[float], None]
) -> None:
    cut_short(moment.now + 100)
    moment.now += 200
    keys = Keys(home)
    assert is_good(a_token(keys), keys)
    assert len(keys.jwks()["keys"]) == 1


def test_after_a_rotation_that_was_cut_short_the_next_one_works(
    home: Path, moment: SimpleNamespace, cut_short: Callable[[float], None]
) -> None:
    keys = Keys(home)
    old = a_token(keys)
    cut_short(moment.now + 10)
    keys.rotate(moment.now + HOUR)
    moment.now += 20
    assert is_good(old, keys)
    assert is_good(a_token(keys), Keys(home))
    assert len(keys.jwks()["keys"]) == 2


def test_the_files_are_for_their_owner_alone(home: Path) -> None:
    shutil.rmtree(home)
    Keys(home).rotate(time.time() + HOUR)
    files = list((home / "keys").iterdir())
    assert {path.name for path in files} == {"signing.pem", "retired.json", "lock"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((home / "keys").stat().st_mode) == 0o700


def test_no_private_half_of_an_old_key_is_kept(home: Path) -> None:
    Keys(home).rotate(time.time() + HOUR)
    (retired,) = json.loads((home / "keys/retired.json").read_bytes())["keys"]
    assert set(retired) == {"kty", "use", "alg", "n", "e", "kid", "until"}


def _pem(key: Any, password: bytes | None = None) -> bytes:
    encryption = (
        serialization.NoEncryption()
        if password is None
        else serialization.BestAvailableEncryption(password)
    )
    pem: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
    return pem


GARBAGE: dict[str, tuple[str, Callable[[], bytes]]] = {
    "no key": ("signing.pem", lambda: b"garbage"),
    "an empty file": ("signing.pem", lambda: b""),
    "bytes": ("signing.pem", lambda: b"\xff\x00" * 500),
    "half a key": ("signing.pem", lambda: _pem(Key.new().private)[:900]),
    "another kind of key": ("signing.pem", lambda: _pem(ec.generate_private_key(ec.SECP256R1()))),
    "a locked key": ("signing.pem", lambda: _pem(Key.new().private, b"geheim")),
    "no list": ("retired.json", lambda: b"garbage"),
    "an empty list file": ("retired.json", lambda: b""),
    "a list of another form": ("retired.json", lambda: b"[]"),
    "a list of no keys": ("retired.json", lambda: b'{"keys": [1]}'),
    "a list of keys that are nothing": ("retired.json", lambda: b'{"keys": null}'),
    "a key without its parts": ("retired.json", lambda: b'{"keys": [{"kid": "a", "until": 1}]}'),
    "a key without an end": (
        "retired.json",
        lambda: json.dumps({"keys": [Key.new().jwk]}).encode(),
    ),
}
garbage = pytest.mark.parametrize(("name", "content"), GARBAGE.values(), ids=GARBAGE.keys())


@garbage
def test_a_file_that_cannot_be_read_is_named(
    home: Path, name: str, content: Callable[[], bytes]
) -> None:
    path = home / "keys" / name
    path.write_bytes(content())
    with pytest.raises(UnreadableKey) as said:
        Keys(home)
    assert str(path) in str(said.value)


@garbage
def test_a_file_that_cannot_be_read_any_more_changes_nothing_while_the_club_is_open(
    home: Path, moment: SimpleNamespace, name: str, content: Callable[[], bytes]
) -> None:
    keys = Keys(home)
    old = a_token(keys)
    keys.rotate(moment.now + HOUR)
    new = a_token(keys)
    kept = (home / "keys" / name).read_bytes()
    (home / "keys" / name).write_bytes(content())
    moment.now += FRESH
    with capture_logs() as logged:
        assert is_good(old, keys)
        assert is_good(new, keys)
        assert kid_of(a_token(keys)) == kid_of(new)
    assert [line["event"] for line in logged] == ["keys.unreadable"]
    assert name in logged[0]["reason"]
    (home / "keys" / name).write_bytes(kept)
    moment.now += FRESH
    with capture_logs() as logged:
        assert is_good(old, keys)
    assert logged == []


@garbage
def test_what_cannot_be_read_is_not_rotated_away(
    home: Path, name: str, content: Callable[[], bytes]
) -> None:
    keys = Keys(home)
    path = home / "keys" / name
    path.write_bytes(content())
    given = path.read_bytes()
    with pytest.raises(UnreadableKey):
        keys.rotate(time.time() + HOUR)
    assert path.read_bytes() == given


def test_a_key_file_that_is_gone_changes_nothing_while_the_club_is_open(
    home: Path, moment: SimpleNamespace
) -> None:
    keys = Keys(home)
    token = a_token(keys)
    (home / "keys/signing.pem").unlink()
    moment.now += FRESH
    with capture_logs() as logged:
        assert is_good(token, keys)
    assert [line["event"] for line in logged] == ["keys.unreadable"]


# --- what others see ---------------------------------------------------------------------------


def test_a_key_has_the_name_that_rfc_7638_gives_it(home: Path) -> None:
    signing = Keys(home).signing
    public = jwt.algorithms.RSAAlgorithm.to_jwk(signing.public, as_dict=True)
    required = {name: public[name] for name in ("e", "kty", "n")}
    written = json.dumps(required, separators=(",", ":"), sort_keys=True).encode()
    digest = base64.urlsafe_b64encode(hashlib.sha256(written).digest()).decode()
    assert signing.kid == digest.rstrip("=")


async def test_the_key_set_has_public_parts_only(rest: Rest) -> None:
    rest.club.keys.rotate(time.time() + HOUR)
    answer = await rest.http.get("/.well-known/jwks.json")
    assert answer.status_code == 200
    keys = answer.json()["keys"]
    assert len(keys) == 2
    for key in keys:
        assert set(key) == {"kty", "use", "alg", "n", "e", "kid"}
        assert (key["kty"], key["use"], key["alg"]) == ("RSA", "sig", "RS256")
        assert not PRIVATE_PARTS & set(key)


@pytest.fixture
def published() -> Iterator[SimpleNamespace]:
    """A server that answers every GET with `document`, as the club would."""
    shown = SimpleNamespace(document=b"", url="")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(shown.document)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - so named there
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        shown.url = f"http://127.0.0.1:{server.server_port}/jwks.json"
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield shown
        server.shutdown()
        serving.join()


async def test_others_can_check_tokens_with_the_key_set(
    rest: Rest, published: SimpleNamespace
) -> None:
    tokens, issuer = rest.club.tokens, rest.club.settings.issuer
    issued = [tokens.access_token(7, 8, HOUR)]
    rest.club.keys.rotate(time.time() + HOUR)
    issued.append(tokens.access_token(7, 8, HOUR))
    published.document = (await rest.http.get("/.well-known/jwks.json")).content
    others = jwt.PyJWKClient(published.url)
    for token in issued:
        key = await asyncio.to_thread(others.get_signing_key_from_jwt, token)
        claims = jwt.decode(token, key, algorithms=["RS256"], audience=AUDIENCE, issuer=issuer)
        assert (claims["sub"], claims["sid"]) == ("7", "8")
    foreign = jwt.encode({}, Key.new().private, "RS256", headers={"kid": issued[0][:5]})
    with pytest.raises(jwt.PyJWKClientError):
        await asyncio.to_thread(others.get_signing_key_from_jwt, foreign)


async def test_a_rotation_by_another_process_lets_callers_of_both_keys_in(rest: Rest) -> None:
    user_id, old = await rest.user()
    other = Keys(rest.club.settings.home)
    other.rotate(time.time() + HOUR)
    signed = SignedTokens(other, rest.club.settings.issuer).access_token(user_id, None, HOUR)
    new = {"Authorization": f"Bearer {signed}"}

    async def status(headers: dict[str, str]) -> int:
        answer: httpx.Response = await rest.http.get(f"/users/{user_id}/", headers=headers)
        return answer.status_code

    assert [await status(old), await status(new)] == [200, 200]
    other.rotate(time.time())

    async def ended() -> bool:
        return [await status(old), await status(new)] == [401, 401]

    await until(ended, "no token of either key is good", patience=10 * FRESH)
