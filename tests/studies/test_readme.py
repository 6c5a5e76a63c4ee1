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


def test_the_page_on_python_runs_and_names_every_public_name(tmp_path):
    page = (Path(__file__).resolve().parents[2] / "docs/python.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "'trial'" in result.stdout
    for name in dse.__all__:
        assert f"`{name}`" in page or name in ("__version__", "plots", "lut", "online")
