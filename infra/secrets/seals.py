"""The key of the club's seal, in `home/keys/seal`, readable by its owner only."""

from __future__ import annotations

import hmac
import secrets
from pathlib import Path

from application.ports.services import Seal
from infra.secrets.files import private_file


def open_seal(home: Path) -> Seal:
    """The seal of a club's home: HMAC-SHA256 under a key that is made where there is none.

    A key that was lost costs nobody more than the receipts of requests with a password in them,
    and first codes that were not used yet.
    """
    path = home / "keys" / "seal"
    if not path.exists():
        private_file(path, secrets.token_bytes(32), only_new=True)
    key = path.read_bytes()
    return lambda text: hmac.digest(key, text, "sha256")
