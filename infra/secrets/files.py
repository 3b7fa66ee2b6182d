"""Files that only their owner may read."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from infra.files import whole_file


def private_file(path: Path, content: bytes, *, only_new: bool = False) -> None:
    """Write a file that only its owner may read, whole or not at all.

    With `only_new`, a file that is there already stays as it is.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError), whole_file(path, only_new=only_new) as file:
        file.write(content)
