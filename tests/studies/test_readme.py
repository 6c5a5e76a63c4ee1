"""What the README shows works."""

import re
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs_in_a_fresh_interpreter(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "the knee" in result.stdout


def test_every_file_that_it_names_exists():
    root = Path(__file__).resolve().parents[2]
    links = re.findall(r"\]\((?!https)([^)#]+)\)", README)
    assert len(links) >= 5
    for link in links:
        assert (root / link).is_file(), link
