"""Workers of one node: the same archives to the byte, and the dense weights in memory once."""

import multiprocessing
import shutil
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

from dse.accuracy.accuracy_run import AccuracyRun
from dse.accuracy.compression.pipeline import Compression, compressed
from dse.accuracy.networks.network import load_trained, tokenised
from dse.workers.process_pool import ProcessPool
from dse.workers.ray_workers import RayWorkers
from dse.workers.serial import Serial
from dse.workers.workers import nothing

DESIGNS = ((0.0, 32), (0.5, 5))


@pytest.fixture
def here(trained_made, made_task, tmp_path):
    """20 made-up sentences of the validation split, with an empty cache for the archives."""
    cache, name = made_task
    (tmp_path / "tasks").symlink_to(cache / "tasks")
    return AccuracyRun(trained_made, name, tmp_path, sentences=20)


def rows():
    return [
        {"pruning_ratio": np.array([ratio]), "weight_bits": np.array([bits])}
        for ratio, bits in DESIGNS
    ]


def archives(run, workers):
    """Name and digest of every archive that the workers write."""
    shutil.rmtree(run.cache / "archives", ignore_errors=True)
    outcomes = workers.map(run, rows(), nothing)
    assert all(outcome.columns for outcome in outcomes), [o.failure for o in outcomes]
    written = sorted((run.cache / "archives").rglob("*.safetensors"))
    assert len(written) == len(DESIGNS)
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in written}


def memory(pid, path):
    """What a process has of a file in its memory [KiB], by kind."""
    found: dict[str, int] = {}
    inside = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name, _, value = line.partition(":")
        if "-" in line.split()[0]:
            inside = line.endswith(str(path))
        elif inside and value.endswith("kB"):
            found[name] = found.get(name, 0) + int(value.split()[0])
    return found


@pytest.mark.ci  # each process loads torch
def test_two_processes_write_the_archives_of_one_and_read_the_same_pages(here):
    serial = archives(here, Serial())
    with ProcessPool(2) as pool:
        assert archives(here, pool) == serial
        processes = multiprocessing.active_children()
        assert len(processes) == 2
        for process in processes:
            weights = memory(process.pid, here.trained.path)
            # Every page is the page cache's: read by both, written to by none. (Dirty is what the
            # kernel has not yet brought to the disk since the file was made.)
            assert weights["Rss"] > 0.9 * here.trained.path.stat().st_size / 1024
            assert weights["Shared_Clean"] + weights["Shared_Dirty"] == weights["Rss"]
            assert weights["Anonymous"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", [ProcessPool, RayWorkers])
@pytest.mark.parametrize("workers", [1, 2])
def test_archives_are_the_same_bytes_whoever_writes_them(kind, workers, here):
    serial = archives(here, Serial())
    with partial(kind, workers)() as spread:
        assert archives(here, spread) == serial


def test_what_is_not_compressed_stays_where_the_file_has_it(trained_made):
    few = tokenised(trained_made.folder, ["a fine film"])
    made = compressed(trained_made, Compression(pruning_ratio=0.5), few)
    dense = load_trained(trained_made.path, trained_made.folder)
    own = dict(made.network.encoder.named_parameters())
    mapped = _mapped(trained_made.path)
    for name, parameter in dense.encoder.named_parameters():
        shared = any(own[name].data_ptr() in addresses for addresses in mapped)
        assert shared == (parameter.dim() == 1 or "pooler" in name), name
        if shared:
            assert torch.equal(own[name], parameter)
    # Another setting replaces its own and leaves these alone.
    before = {name: parameter.clone() for name, parameter in own.items()}
    compressed(trained_made, Compression(pruning_ratio=0.9, embedding_sparsity=0.5), few)
    assert all(torch.equal(own[name], before[name]) for name in own)


def _mapped(path):
    """Addresses at which this process has a file."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    spans = [line.split()[0].split("-") for line in lines if line.endswith(str(path))]
    return [range(int(begin, 16), int(end, 16)) for begin, end in spans]
