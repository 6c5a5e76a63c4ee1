"""What docs/lut.md shows is what happens, and what it lists is what there is."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dse.lut.error_codes import Fault
from dse.lut.exports import FILE_NAMES

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "lut.md").read_text(encoding="utf-8")


def block(language):
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)
    return found


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """A folder in which the Python example has run, and what it printed."""
    folder = tmp_path_factory.mktemp("example")
    command = [sys.executable, "-W", "error", "-c", block("python")]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return folder, ran.stdout


def test_the_python_example_prints_what_the_page_says(example):
    assert example[1] == block("text")


def test_the_c_example_decides_the_same(example, strict_c):
    folder, _ = example
    (folder / "main.c").write_text(block("c"))
    subprocess.run([*strict_c("gcc"), "main.c", "-o", "main_c"], cwd=folder, check=True)
    ran = subprocess.run([folder / "main_c"], capture_output=True, text=True, check=True)
    assert ran.stdout == block("text")


def test_the_rust_example_decides_the_same(example, tool):
    folder, _ = example
    (folder / "main.rs").write_text(block("rust"))
    command = [tool("rustc"), "--edition", "2021", "-A", "dead_code", "main.rs", "-o", "main_rs"]
    subprocess.run(command, cwd=folder, check=True)
    ran = subprocess.run([folder / "main_rs"], capture_output=True, text=True, check=True)
    words = {"Fits": "FITS", "Kept": "KEPT", "NothingFits": "NOTHING_FITS"}
    printed = re.sub(r"\w+$", lambda m: words[m[0]], ran.stdout, flags=re.MULTILINE)
    assert printed == block("text")


def test_every_fault_and_every_form_stands_on_the_page():
    for fault in Fault:
        assert re.search(rf"\b{fault.name}\b", PAGE), fault
    for form, name in FILE_NAMES.items():
        assert f"| `{form}` | `{name}` |" in PAGE


def test_a_device_tool_pays_for_no_heavy_library():
    look = "import dse.lut.reader, dse.lut.exports, dse.lut.build, sys; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    heavy = {"torch", "transformers", "ray", "optuna", "pymoo", "plotly", "matplotlib"}
    assert not heavy & set(ran.stdout.split())
