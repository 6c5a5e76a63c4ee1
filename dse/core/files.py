"""Text and bytes on their way to the disk: canonical JSON, writes that are whole or not there."""

import hashlib
import json
import os
import tempfile
from pathlib import Path


def canonical_json(content: object) -> str:
    """JSON text with sorted keys and no spaces: equal contents are equal bytes.

    Raises:
        ValueError: If a number is not finite.
    """
    return json.dumps(
        content, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
    )


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, content: str | bytes, mode: int = 0o666) -> None:
    """Write a file so that a crash leaves the old one or the new one, never a half.

    Text is written as UTF-8. The file gets the permissions of `mode` that the user's mask allows.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            mask = os.umask(0)
            os.umask(mask)
            os.fchmod(file.fileno(), mode & ~mask)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
