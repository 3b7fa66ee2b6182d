"""Files that only their owner may read."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from infra.files import place


def private_file(path: Path, content: bytes, *, only_new: bool = False) -> None:
    """Write a file that only its owner may read, whole or not at all.

    With `only_new`, a file that is there already stays as it is.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    draft.touch(mode=0o600, exist_ok=False)
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if not only_new:
        draft.rename(path)
        return
    with suppress(FileExistsError):
        place(draft, path)
    draft.unlink()
