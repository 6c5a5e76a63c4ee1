"""Text and bytes on their way to the disk: canonical JSON, writes that are whole or not there."""

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


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one, never a half.

    Text is written as UTF-8. The file gets the permissions that the user's mask allows, as any
    other.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            mask = os.umask(0)
            os.umask(mask)
            os.fchmod(file.fileno(), 0o666 & ~mask)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
