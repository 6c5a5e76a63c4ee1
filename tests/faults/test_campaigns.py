"""What a run survives: kills at any moment, stops at any trial, files cut anywhere.

The campaigns run in a process of their own, which forks the drivers that it kills. A kill leaves
the page cache alone, so a folder in memory shows what a disk would, sooner.
"""

import json
import os
import subprocess
import sys
import tempfile
import typing
from pathlib import Path

import pytest

from dse.study.schema import Search

SEARCHERS = typing.get_args(Search.model_fields["searcher"].annotation)
HERE = Path(__file__).resolve().parent
IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()


def campaign(*arguments, root=IN_MEMORY, timeout=280):
    result = subprocess.run(
        [sys.executable, HERE / "campaign.py", *map(str, arguments), "--root", root],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def assert_nothing_lost(found, kills):
    assert found["kills"] == kills
    assert found["acknowledged"] > 0
    assert found["killed_before_the_run_began"] < kills / 2
    wrong = ("lost", "changed", "unreadable", "differing")
    assert {name: found[name] for name in wrong} == dict.fromkeys(wrong, 0)


def test_200_kills_lose_change_and_double_no_acknowledged_trial():
    found = campaign("kills", "--count", 200, "--searchers", "nsga2,random,exhaustive")
    assert_nothing_lost(found, 200)


def assert_workers_go_with_their_driver(found):
    assert found["workers_killed"] > 0
    assert found["orphans"] == 0
    assert found["ended_by_an_error"] == 0


@pytest.mark.ci
def test_drivers_with_a_pool_are_killed_and_so_are_their_workers():
    found = campaign("kills", "--count", 4, "--searchers", "nsga2", "--executor", "pool")
    assert_nothing_lost(found, 4)
    assert_workers_go_with_their_driver(found)


@pytest.mark.ci
def test_stopped_at_20_points_a_search_ends_as_if_it_had_never_stopped():
    found = campaign("stops", "--count", 20)
    assert len(found["searchers"]) == len(SEARCHERS)
    assert found["stops"] == 20 * len(SEARCHERS)
    assert found["differing"] == []


def assert_at_home_everywhere(found, runs):
    assert found["runs"] == runs
    assert found["stops"] >= 2 * runs
    assert found["differing"] == []


@pytest.mark.ci
def test_stopped_on_one_executor_and_resumed_on_another_it_ends_as_if_never_stopped():
    hosts = "serial:1,pool:2,serial:1"
    assert_at_home_everywhere(campaign("moves", "--count", 2, "--hosts", hosts), 4)


@pytest.mark.slow
def test_it_moves_to_larger_pools_to_ray_and_back_as_well():
    assert_at_home_everywhere(campaign("moves", "--count", 2), 4)
    hosts = "pool:2,ray:2,serial:1"
    found = campaign("moves", "--count", 1, "--hosts", hosts, "--searchers", "nsga2")
    assert_at_home_everywhere(found, 1)


NOT_READ_WHOLE = ("finished/run.sqlite", "killed/run.sqlite-wal")
"""Cuts that can cost acknowledged trials: to read is refused, to resume computes them again."""
TEXTS = ("manifest.json", "study.yaml", "study.resolved.yaml")


def assert_every_cut_opens_again(found):
    assert found["cuts"] > 500
    wrong = ("silently_wrong", "other_errors", "resume_refused", "resume_wrong", "text_differs")
    assert {name: found[name] for name in wrong} == dict.fromkeys(wrong, 0)
    assert found["healed"] == found["resumed"] > 0
    for name, counts in found["files"].items():
        lossy = name in NOT_READ_WHOLE
        assert counts["refused" if lossy else "read_whole"] == counts["cuts"], name
        assert lossy == (counts["most_trials_lost"] > 0), name
        torn = lossy or name.partition("/")[2] in TEXTS
        assert counts["notes"] == (counts["resumed"] if torn else 0), name


@pytest.mark.ci
def test_whatever_file_is_cut_wherever_the_run_opens_again():
    assert_every_cut_opens_again(campaign("cuts", "--step", 64, "--resume-every", 16))


def assert_never_wrong(found, damages):
    assert found["bad"] == []
    assert found["same"] + found["refused"] == found["damages"] == damages
    assert min(found["same"], found["refused"], found["resumed_same"]) > 0


def test_a_damaged_database_reads_as_it_was_or_is_refused():
    assert_never_wrong(campaign("damage", "--count", 48), 48)


@pytest.mark.slow
def test_240_damages_of_8_kinds_in_3_files():
    assert_never_wrong(campaign("damage"), 240)


@pytest.mark.ci
def test_8_disk_faults_in_5_phases_cost_no_trial():
    found = campaign("disks")
    assert found["faults"] == found["survived"] == 40, found["wrong"]
    assert found["ended_by_an_error_of_ours"] > 20


def assert_right_kindes(found, rounds):
    assert found["wrong"] == []
    assert found["right_kind"] == found["faults"] == 9 * rounds
    assert found["runs_ended"] == rounds


def test_an_evaluator_that_fails_in_any_way_fails_in_its_class_and_alone():
    assert_right_kindes(campaign("workers", "--count", 1), 1)


@pytest.mark.slow
def test_140_worker_faults_and_more():
    assert_right_kindes(campaign("workers", "--count", 16, timeout=3000), 16)
    ray = campaign("workers", "--count", 4, "--executor", "ray", timeout=3000)
    assert_right_kindes(ray, 4)


@pytest.mark.slow
def test_2000_kills():
    wide = ("--count", 2000, "--reach", 1.1)
    found = campaign("kills", *wide, root=tempfile.gettempdir(), timeout=3000)
    assert_nothing_lost(found, 2000)


@pytest.mark.slow
def test_200_kills_of_drivers_with_a_pool():
    found = campaign("kills", "--count", 200, "--executor", "pool", timeout=3000)
    assert_nothing_lost(found, 200)
    assert_workers_go_with_their_driver(found)


@pytest.mark.slow
def test_40_kills_of_drivers_with_ray():
    found = campaign("kills", "--count", 40, "--executor", "ray", timeout=3000)
    assert_nothing_lost(found, 40)
    assert_workers_go_with_their_driver(found)


@pytest.mark.slow
def test_every_byte_of_the_last_4_kib_of_every_file():
    every = ("--step", 1, "--resume-every", 50)
    assert_every_cut_opens_again(campaign("cuts", *every, timeout=3000))
