"""What the README shows works."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import dse

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


(EXAMPLE,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_python_example_is_short():
    assert len([line for line in EXAMPLE.splitlines() if line.strip()]) <= 20


@pytest.mark.usefixtures("real_cache")
def test_the_python_example_runs_in_a_fresh_interpreter(tmp_path):
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", EXAMPLE],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    run = dse.load(tmp_path / "runs" / "mine")
    assert len(run.trials) == 300
    assert run.trials.ok.all()
    # Four compressed networks, each passed over the sentences once, stand behind all trials.
    assert len(set(run.trials.metrics["archive"])) == 4
    assert run.manifest["real_runs_made"] + run.manifest["real_runs_reused"] == 4
    assert {"accuracy", "energy", "latency_p95"} <= set(run.front.to_pandas())
    assert (tmp_path / "runs/mine/tables/lut.h").is_file()


def test_every_file_that_it_names_exists():
    root = Path(__file__).resolve().parents[2]
    links = re.findall(r"\]\((?!https)([^)#]+)\)", README)
    assert len(links) >= 5
    for link in links:
        assert (root / link).is_file(), link
