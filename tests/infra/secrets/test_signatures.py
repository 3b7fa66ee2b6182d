"""Who signed a message: Standard Webhooks 1.0, over the exact bytes."""

from __future__ import annotations

import base64
import stat
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from application.ports.signatures import Stale, Unsigned
from application.providers import AddProviderSecret, DisableProvider, RegisterProvider
from domain.providers import NoSuchProvider
from infra.secrets import signatures
from infra.secrets.signatures import ProviderSecrets, StandardWebhooks, sign
from tests.application.scene import Scene

BODY = b'{"test": 2432232314}'
DAY = timedelta(days=1)
Headers = dict[str, Any]


class Post:
    """A club with the provider acme, and messages to it."""

    def __init__(self, scene: Scene, home: Path) -> None:
        self.scene = scene
        self.home = home
        self.secrets = ProviderSecrets(home)

    def signed(
        self, body: bytes = BODY, *, ago: float = 0, secret: int = 1, name: str = "acme"
    ) -> Headers:
        """The headers of a message that the provider signed so many seconds ago."""
        at = int(time.time() - ago)
        return {
            "provider": name,
            "webhook-id": "msg_1",
            "webhook-timestamp": str(at),
            "webhook-signature": sign(self.secrets.secret(name, secret), "msg_1", at, body),
        }

    async def takes(self, headers: Headers, body: bytes = BODY) -> str:
        """Whose message it is, for a process that has just started; raises Unsigned."""
        checking = StandardWebhooks(self.scene.ledger, self.secrets, DAY)
        return await checking.provider(headers, body)


@pytest.fixture
async def post(tmp_path: Path) -> Post:
    scene = Scene()
    await scene.do(RegisterProvider("acme"))
    return Post(scene, tmp_path)


# --- the form ----------------------------------------------------------------------------------


def test_a_signature_is_the_one_that_the_standards_own_example_has() -> None:
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, BODY)
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_is_written_as_the_standard_writes_it(tmp_path: Path) -> None:
    secrets = ProviderSecrets(tmp_path)
    written = secrets.written("acme", 1)
    assert written.startswith("whsec_")
    assert base64.b64decode(written.removeprefix("whsec_")) == secrets.secret("acme", 1)
    assert len(secrets.secret("acme", 1)) == 32


def test_every_secret_is_another(tmp_path: Path) -> None:
    homes = ProviderSecrets(tmp_path / "a"), ProviderSecrets(tmp_path / "b")
    written = {h.written(name, n) for h in homes for name in ("acme", "acme-1") for n in (1, 11)}
    assert len(written) == 8


def test_the_key_of_all_secrets_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    written = ProviderSecrets(tmp_path).written("acme", 1)
    assert ProviderSecrets(tmp_path).written("acme", 1) == written
    assert stat.S_IMODE((tmp_path / "keys/providers.key").stat().st_mode) == 0o600


# --- who signed it -----------------------------------------------------------------------------


async def test_a_message_that_its_provider_signed_is_taken(post: Post) -> None:
    assert await post.takes(post.signed()) == "acme"


@pytest.mark.parametrize("body", [b"", b"\x00\xff", "ü".encode(), b"x" * 2_000_000])
async def test_the_body_is_signed_as_it_is_whatever_it_is(post: Post, body: bytes) -> None:
    assert await post.takes(post.signed(body), body) == "acme"


@pytest.mark.parametrize("body", [BODY + b" ", BODY[:-1], b"", BODY.replace(b"2", b"3", 1)])
async def test_another_body_is_refused(post: Post, body: bytes) -> None:
    with pytest.raises(Unsigned):
        await post.takes(post.signed(), body)


async def test_another_id_or_time_is_refused(post: Post) -> None:
    signed = post.signed()
    later = str(int(signed["webhook-timestamp"]) + 1)
    for change in ({"webhook-id": "msg_2"}, {"webhook-timestamp": later}):
        with pytest.raises(Unsigned):
            await post.takes({**signed, **change})


async def test_a_part_cannot_be_moved_from_the_body_to_the_id(post: Post) -> None:
    signed = post.signed(b"1." + BODY)
    at = signed["webhook-timestamp"]
    with pytest.raises(Unsigned):
        await post.takes({**signed, "webhook-id": f"msg_1.{at}", "webhook-timestamp": "1"})


async def test_another_providers_secret_is_refused(post: Post) -> None:
    await post.scene.do(RegisterProvider("other"))
    of_other = post.signed(name="other")
    with pytest.raises(Unsigned):
        await post.takes({**of_other, "provider": "acme"})


@pytest.mark.parametrize("name", ["nobody", "acm", "acme-1", "ACME", "acme\n", "", "x" * 1000, "é"])
async def test_a_provider_that_nobody_registered_is_refused(post: Post, name: str) -> None:
    with pytest.raises(Unsigned):
        await post.takes(post.signed(name=name))


async def test_one_good_signature_of_several_is_enough(post: Post) -> None:
    signed = post.signed()
    good = signed["webhook-signature"]
    for several in (f"v1,bad {good}", f"{good} v1,bad", f"v1a,{good[3:]} v2,x {good}"):
        assert await post.takes({**signed, "webhook-signature": several}) == "acme"


@pytest.mark.parametrize(
    "header",
    [
        "v1a,{good}",
        "v2,{good}",
        "{good}",
        "v1,",
        "v1, {good}",
        "v1,{good}=",
        "v1,{good},v1,{good}",
        "V1,{good}",
        "v1,x " * 8 + "v1,{good}",
    ],
)
async def test_what_is_not_the_signature_is_refused(post: Post, header: str) -> None:
    signed = post.signed()
    good = signed["webhook-signature"].removeprefix("v1,")
    with pytest.raises(Unsigned):
        await post.takes({**signed, "webhook-signature": header.format(good=good)})


HEADERS = ["provider", "webhook-id", "webhook-timestamp", "webhook-signature"]


@pytest.mark.parametrize("header", HEADERS)
async def test_each_header_is_needed(post: Post, header: str) -> None:
    signed = post.signed()
    del signed[header]
    with pytest.raises(Unsigned):
        await post.takes(signed)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -1,
        2**63,
        1.5,
        b"acme",
        b"\xff",
        ["acme"],
        {"a": 1},
        "",
        " ",
        "é",
        "٣",
        "\x00",
        "\ud800",
        "9" * 4000,
        "x" * 100_000,
    ],
    ids=lambda value: repr(value)[:20],
)
@pytest.mark.parametrize("header", HEADERS)
async def test_a_header_of_whatever_else_is_refused(post: Post, header: str, value: object) -> None:
    with pytest.raises(Unsigned):
        await post.takes({**post.signed(), header: value})


async def test_the_time_may_be_a_number_as_amqp_has_them(post: Post) -> None:
    signed = post.signed()
    assert await post.takes({**signed, "webhook-timestamp": int(signed["webhook-timestamp"])}) == (
        "acme"
    )


# --- secrets that come and go ------------------------------------------------------------------


async def test_two_secrets_are_good_at_a_time(post: Post) -> None:
    await post.scene.do(AddProviderSecret("acme"))
    for secret in (1, 2):
        assert await post.takes(post.signed(secret=secret)) == "acme"
    await post.scene.do(AddProviderSecret("acme"))
    with pytest.raises(Unsigned):
        await post.takes(post.signed(secret=1))
    for secret in (2, 3):
        assert await post.takes(post.signed(secret=secret)) == "acme"


async def test_nothing_of_a_disabled_provider_is_taken_until_it_has_another_secret(
    post: Post,
) -> None:
    await post.scene.do(DisableProvider("acme"))
    for secret in (1, 2):
        with pytest.raises(Unsigned):
            await post.takes(post.signed(secret=secret))
    await post.scene.do(RegisterProvider("acme"))
    with pytest.raises(Unsigned):
        await post.takes(post.signed(secret=1))
    assert await post.takes(post.signed(secret=2)) == "acme"


async def test_what_a_running_process_believes_of_a_provider_lasts_seconds(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert signatures.FRESH <= 5
    monkeypatch.setattr(signatures, "FRESH", 0)
    running = StandardWebhooks(post.scene.ledger, post.secrets, DAY)
    assert await running.provider(post.signed(), BODY) == "acme"
    await post.scene.do(DisableProvider("acme"))
    with pytest.raises(Unsigned):
        await running.provider(post.signed(), BODY)


async def test_providers_that_are_made_up_take_no_memory(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signatures, "REMEMBERED", 3)
    running = StandardWebhooks(post.scene.ledger, post.secrets, DAY)
    for number in range(10):
        with pytest.raises(Unsigned):
            await running.provider(post.signed(name=f"made-up-{number}"), BODY)
    assert len(running._known) == 3
    assert await running.provider(post.signed(), BODY) == "acme"


async def test_the_newest_secret_is_the_one_to_sign_with(post: Post) -> None:
    def fresh() -> StandardWebhooks:
        return StandardWebhooks(post.scene.ledger, post.secrets, DAY)

    await post.scene.do(AddProviderSecret("acme"))
    assert await fresh().newest_secret("acme") == post.secrets.secret("acme", 2)
    await post.scene.do(DisableProvider("acme"))
    for name in ("acme", "nobody"):
        with pytest.raises(NoSuchProvider):
            await fresh().newest_secret(name)


# --- when it was signed ------------------------------------------------------------------------


@pytest.mark.parametrize("ago", [24 * 3600 - 60, 24 * 3600 + 5, -290])
async def test_a_message_is_taken_within_its_time(post: Post, ago: float) -> None:
    assert await post.takes(post.signed(ago=ago)) == "acme"


@pytest.mark.parametrize("ago", [24 * 3600 + 15, 10 * 365 * 86400, -360, -10 * 365 * 86400])
async def test_a_message_from_long_ago_or_ahead_of_its_time_is_stale(
    post: Post, ago: float
) -> None:
    with pytest.raises(Stale):
        await post.takes(post.signed(ago=ago))


async def test_an_old_message_with_a_wrong_signature_is_not_called_stale(post: Post) -> None:
    with pytest.raises(Unsigned) as refused:
        await post.takes(post.signed(ago=2 * 86400), b"another")
    assert not isinstance(refused.value, Stale)


# --- sent again by a person --------------------------------------------------------------------


async def test_a_stale_message_that_a_person_of_the_club_sends_again_is_taken(post: Post) -> None:
    old = post.signed(ago=2 * 86400)
    allowed = post.secrets.pass_for(old["webhook-id"], old["webhook-signature"])
    assert await post.takes({**old, "club-replayed": allowed}) == "acme"


async def test_a_pass_is_good_for_its_own_message_alone(post: Post) -> None:
    old, other = post.signed(ago=2 * 86400), post.signed(ago=3 * 86400)
    another_club = ProviderSecrets(post.home / "other")
    signed = old["webhook-id"], old["webhook-signature"]
    for made_up in (
        post.secrets.pass_for(other["webhook-id"], other["webhook-signature"]),
        another_club.pass_for(*signed),
        "",
        "1",
        True,
        1,
        b"x",
        None,
        "é",
    ):
        with pytest.raises(Stale):
            await post.takes({**old, "club-replayed": made_up})


async def test_a_pass_does_not_stand_for_a_signature(post: Post) -> None:
    old = post.signed(ago=2 * 86400)
    allowed = post.secrets.pass_for(old["webhook-id"], old["webhook-signature"])
    with pytest.raises(Unsigned) as refused:
        await post.takes({**old, "club-replayed": allowed}, b"another")
    assert not isinstance(refused.value, Stale)
