"""What an address of an accuracy result says of code, libraries and processor."""

import importlib.metadata
import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from dse.accuracy.address import ENDING, LIBRARIES, address_of, computed_by, part_address
from dse.accuracy.cache import CacheUnsafe, key_of
from dse.accuracy.networks.training import kept
from dse.core.errors import DseError

MODULES = tuple(
    f"dse.accuracy.{name}"
    for name in (
        "accuracy_run", "sequential_evaluation", "networks.training", "networks.tuning",
        "networks.distillation", "appeal.text_pair", "appeal.image_pair",
    )
)  # fmt: skip


def test_each_result_names_the_code_that_computes_it_and_the_libraries():
    said = {module: computed_by(module) for module in MODULES}
    assert len({words["code"] for words in said.values()}) == len(MODULES)
    for words in said.values():
        assert words["libraries"] == {n: importlib.metadata.version(n) for n in LIBRARIES}
        assert words["processor"] == torch.backends.cpu.get_cpu_capability()
    assert computed_by(MODULES[0]) == said[MODULES[0]]


def test_an_address_leaves_out_what_is_known_only_afterwards():
    said = {"task": "t", "steps": (1, 2)}
    assert address_of(said) == key_of(said)
    assert address_of({**said, ENDING: {"made": 3}}) == key_of(said)
    assert address_of({**said, "first_and_last": [2, 9]}) == part_address(key_of(said), 2, 9)
    assert address_of(json.loads(json.dumps(said))) == address_of(said)


def test_a_network_that_says_something_else_of_itself_is_refused(tmp_path):
    facts = {"kind": "a network", "seed": 1}

    def make(_):
        return {"weight": torch.ones(2)}, {ENDING: {"made": 3}}

    trained = kept(facts, tmp_path, tmp_path / "cache", make)
    assert kept(facts, tmp_path, tmp_path / "cache", make) == trained
    trained.path.chmod(0o664)
    with pytest.raises(CacheUnsafe, match="may be written to by others"):
        kept(facts, tmp_path, tmp_path / "cache", make)
    trained.path.chmod(0o644)
    for metadata in ({"facts": json.dumps({**facts, "seed": 2})}, None):
        save_file({"weight": torch.zeros(2)}, trained.path, metadata)
        trained.path.chmod(0o644)
        with pytest.raises(DseError, match=r"belongs to the name|is damaged"):
            kept(facts, tmp_path, tmp_path / "cache", make)


@pytest.mark.ci  # loads torch twice
def test_another_capability_of_the_processor_is_another_address():
    code = (
        "from dse.accuracy.address import computed_by\n"
        "from dse.accuracy.cache import key_of\n"
        "print(key_of(computed_by('dse.accuracy.accuracy_run')))"
    )
    said = {
        capability: subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={**os.environ, "ATEN_CPU_CAPABILITY": capability},
        ).stdout
        for capability in ("default", "avx2")
    }  # fmt: skip
    capable = torch.backends.cpu.get_cpu_capability() != "DEFAULT"
    assert (said["default"] != said["avx2"]) == capable
