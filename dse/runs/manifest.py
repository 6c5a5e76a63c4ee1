"""A run's manifest and study: kept in its database, with a file of each beside it for people."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dse.core.errors import DseError, RunDamaged, RunError
from dse.core.files import write_atomically
from dse.runs.database import DATABASE, read_texts
from dse.runs.run_schema import Question

SCHEMA = 3
_READ_BY = {1: "an edge-dse before 0.1.0", 2: "edge-dse 0.1.0"}
"""Schema -> the last version that reads it."""

MANIFEST = "manifest.json"
GIVEN = "study.yaml"
RESOLVED = "study.resolved.yaml"


PYTHON = "dse.minimize"
"""What stands for the system in a study that Python put together."""


def began_in_python(manifest: Mapping[str, Any]) -> bool:
    """Whether a run is of a problem that Python put together, and has no study file."""
    asked = manifest.get("identified_by", {}).get("study", {})
    return bool(asked.get("system") == PYTHON)


def resumed_by(folder: Path, manifest: Mapping[str, Any]) -> str:
    """What stands behind `dse resume` for a run: its folder, and the file of its system if any."""
    system = manifest.get("system_from", "")
    return f"{folder} --system-from {system}" if system else str(folder)


def manifest_text(manifest: Mapping[str, Any]) -> str:
    """What `manifest.json` holds."""
    return json.dumps(manifest, indent=2, sort_keys=True, allow_nan=False) + "\n"


def digest_of(text: str) -> str:
    """SHA-256 of a text as UTF-8, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a run: its database's, or the file's where the database has none to give.

    Raises:
        RunError: If the folder is no run, or of another schema.
        RunDamaged: If the manifest does not read.
    """
    path, text = folder / DATABASE, read_texts(folder / DATABASE).found.get(MANIFEST)
    if text is None:
        path, text = folder / MANIFEST, _manifest_file(folder)
    try:
        manifest = json.loads(text)
        schema = manifest["schema"]
        if schema == SCHEMA:
            Question.read(manifest["asked"])
    except (ValueError, KeyError, TypeError) as error:
        raise RunDamaged(f"{path} does not read as a run's manifest: {error!r}") from error
    if schema != SCHEMA:
        reader = _READ_BY.get(schema, "another version of edge-dse")
        raise RunError(
            f"{folder}: schema {schema}: {reader} reads it; this version reads schema {SCHEMA}. "
            "Designs of trials.csv can be tried again with --warm-start"
        )
    return dict(manifest)


def _manifest_file(folder: Path) -> str:
    path = folder / MANIFEST
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        said = f"{folder} does not exist"
        if folder.is_dir():
            said = (
                f"{folder} does not read as a run: it has no {MANIFEST}; a run that is being "
                "started gets it when its networks are there"
            )
        elif folder.suffix in (".yaml", ".yml") and folder.is_file():
            said = f"{folder} is a study file; a run folder is wanted, e.g. of dse run {folder}"
        elif folder.is_file():
            said = f"{folder} is a file; a run folder is wanted"
        raise RunError(said) from error
    except (OSError, UnicodeDecodeError) as error:
        raise RunDamaged(f"{path} does not read as a run's manifest: {error}") from error


def read_resolved(folder: Path) -> str:
    """The study of a run as used, from its file, verified.

    Raises:
        RunDamaged: If it is missing or is not what the run was begun with.
    """
    path = folder / RESOLVED
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunDamaged(f"{path} cannot be read: {error}") from error
    if digest_of(text) != read_manifest(folder)["study_sha256"]:
        raise RunDamaged(f"{path} is not the study that the run was begun with: its digest differs")
    return text


def require_system(folder: Path, wanted: str, instead: str = "") -> None:
    """Refuse the run of another system.

    Args:
        folder: Of the run.
        wanted: The system that the command knows.
        instead: What to do with a run of another one.

    Raises:
        DseError: If the run is of another system, or its study cannot be read.
    """
    from ruamel.yaml import YAML

    found = YAML(typ="safe").load(read_resolved(folder)).get("system")
    if found != wanted:
        said = f"{folder} is a run of the system {found}; this command reads runs of {wanted}"
        raise DseError(f"{said}; {instead}" if instead else said)


def file_texts(folder: Path, manifest: Mapping[str, Any]) -> dict[str, str]:
    """What a database is to keep that lacks its texts: the manifest, and the study files that read.

    Args:
        folder: Of the run.
        manifest: Of the run; a study as used that is not its own is left out.
    """
    texts = {MANIFEST: manifest_text(manifest)}
    for name in (GIVEN, RESOLVED):
        try:
            text = (folder / name).read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if name == GIVEN or digest_of(text) == manifest["study_sha256"]:
            texts[name] = text
    return texts


def differing_files(folder: Path, texts: Mapping[str, str]) -> dict[str, str]:
    """Files beside the database that do not say what it says: name -> missing, torn or differs."""
    found = {}
    for name, text in texts.items():
        path, wanted = folder / name, text.encode()
        there = path.read_bytes() if path.is_file() else None
        if there is None:
            found[name] = "missing"
        elif there != wanted:
            # What a crash leaves is a beginning, or zeros; anything else somebody has written.
            torn = wanted.startswith(there) or b"\0" in there
            found[name] = "torn" if torn else "differs"
    return found


def restore_files(folder: Path, texts: Mapping[str, str]) -> list[str]:
    """Write anew the files that are missing or torn, and a manifest that says anything else.

    A study file that somebody has edited is left as it is: to resume it is refused, not lost.

    Returns:
        Their names.
    """
    restored = []
    for name, wrong in differing_files(folder, texts).items():
        if wrong != "differs" or name == MANIFEST:
            write_atomically(folder / name, texts[name])
            restored.append(name)
    return restored
