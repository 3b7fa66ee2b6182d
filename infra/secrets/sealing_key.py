"""The key that signs the heads of the ledger, in `home/keys/heads.pem`.

It is good for that alone. A head that it signed is good for ever, so it is not exchanged for
another by itself: one that is lost is made anew, and whoever checks older heads needs the public
key from before.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from infra.proofs.check import key_name
from infra.secrets.files import private_file
from infra.secrets.keys import UnreadableKey


class SealingKey:
    """An Ed25519 pair."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key()
        self.name = key_name(self.public)

    @classmethod
    def of(cls, home: Path) -> SealingKey:
        """The pair of a club's home, made where there is none; raises UnreadableKey."""
        path = _path(home)
        if not path.exists():
            pem = Ed25519PrivateKey.generate().private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            private_file(path, pem, only_new=True)
        try:
            loaded = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as garbage:
            raise UnreadableKey(path=path) from garbage
        if not isinstance(loaded, Ed25519PrivateKey):
            raise UnreadableKey(path=path)
        return cls(loaded)

    @property
    def public_pem(self) -> str:
        """The public half, for whoever checks."""
        return self.public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ).decode()

    def sign(self, text: bytes) -> bytes:
        """The signature, the same each time."""
        return self._private.sign(text)


def has_sealing_key(home: Path) -> bool:
    """Whether there is one already."""
    return _path(home).exists()


def _path(home: Path) -> Path:
    return home / "keys" / "heads.pem"
