"""Notebooks run from top to end without a warning, show their figures, and are stored clean."""

import base64
import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.timeout(1800)

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"

FIGURES = {
    "pareto_front": (4, 2, 1),
    "energy_breakdown": (4, 1, 0),
    "online_scheduler": (3, 0, 0),
    "from_trials_to_table": (3, 0, 0),
}
"""Notebook -> its pictures, interactive figures, and widgets."""

STRICT = """\
import warnings
warnings.simplefilter("error")
warnings.filterwarnings("ignore", module="ipykernel")  # it warns about itself when it is shut down
"""

OF_A_MACHINE = re.compile(r"/(home|root|Users|work|tmp|opt|mnt)/|[A-Z]:\\\\|localhost|127\.0\.0\.1")


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def execute(names, folder, environment):
    """Notebook -> executed in a kernel of its own, all at the same time; what fails or warns fails.

    By the command and not in this process, in which Jupyter would leave sockets behind.
    """
    folder.mkdir(exist_ok=True)
    own = {name: str(folder) for name in ("TMPDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR")}
    with contextlib.ExitStack() as last:
        started = {}
        for name in names:
            notebook = read(name)
            notebook.cells.insert(0, nbformat.v4.new_code_cell(STRICT))
            nbformat.write(notebook, folder / f"{name}.ipynb")
            command = [sys.executable, "-m", "jupyter", "execute", f"{name}.ipynb", "--inplace",
                       "--startup_timeout=600", "--timeout=1500"]  # fmt: skip
            process = subprocess.Popen(
                command, cwd=folder, env={**os.environ, **environment, **own}, text=True,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            )  # fmt: skip
            started[name] = last.enter_context(process)
            last.callback(process.terminate)  # of no effect once it has ended
        said = {name: process.communicate(timeout=1700)[1] for name, process in started.items()}
    failed = [f"{n}:\n{said[n][-3000:]}" for n in names if started[n].returncode]
    assert not failed, "\n".join(failed)
    return {n: nbformat.read(folder / f"{n}.ipynb", as_version=4) for n in names}


def outputs(notebook):
    """MIME type -> content of each output."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [output.data for cell in cells for output in cell.outputs if "data" in output]


@pytest.fixture(scope="session")
def environment(real_cache, trained_small):
    assert trained_small.path.is_file()
    return {"EDGE_DSE_CACHE": str(real_cache), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def executed(environment, tmp_path_factory):
    """All notebooks with their own small budgets."""
    return execute(tuple(FIGURES), tmp_path_factory.mktemp("notebooks"), environment)


def test_all_notebooks_are_known():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(FIGURES)


@pytest.mark.parametrize("name", FIGURES)
def test_a_notebook_runs_and_shows_its_figures(name, executed):
    shown = outputs(executed[name])
    kinds = [kind for data in shown for kind in data]
    pictures, interactive, widgets = FIGURES[name]
    assert kinds.count("image/png") == pictures
    assert kinds.count("application/vnd.plotly.v1+json") == interactive
    assert kinds.count("application/vnd.jupyter.widget-view+json") == widgets
    for data in shown:
        if "image/png" in data:
            with Image.open(io.BytesIO(base64.b64decode(data["image/png"]))) as image:
                pixels = np.asarray(image.convert("L"))
            assert pixels.shape[1] > 600
            assert 0.01 < (pixels < 250).mean() < 0.9


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_loaded_from_outside(name, executed):
    for data in outputs(executed[name]):
        assert 'src="http' not in str(data.get("text/html", ""))


def test_the_brushed_table_holds_the_rows_between_the_brushes(executed):
    tables = [d["text/html"] for d in outputs(executed["pareto_front"]) if "text/html" in d]
    assert len(tables) == 3
    front, _, brushed = (set(re.findall(r"<th>(\d+)</th>", table)) for table in tables)
    assert brushed
    assert 0 < len(front) <= 8  # the head of a table


def test_c_answers_as_python_does(executed):
    said = " ".join(d.get("text/plain", "") for d in outputs(executed["from_trials_to_table"]))
    assert "1000 answers of C, all as in Python" in said


@pytest.mark.parametrize("name", FIGURES)
def test_a_notebook_is_stored_without_outputs_and_without_a_machine(name):
    notebook = read(name)
    nbformat.validate(notebook)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.cells[0].source.startswith("# ")
    assert "*For " in notebook.cells[0].source
    for cell in notebook.cells:
        assert not OF_A_MACHINE.search(cell.source)
        assert not cell.metadata
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
    assert (FOLDER / f"{name}.ipynb").stat().st_size < 40_000


@pytest.mark.slow
def test_notebooks_take_a_run_of_ones_own(environment, tmp_path):
    """The run that `pareto_front` leaves, given to it again and to the breakdown of its knee."""
    execute(("pareto_front",), tmp_path / "first", environment)
    (manifest,) = (tmp_path / "first").rglob("manifest.json")
    own = {**environment, "EDGE_DSE_RUN": str(manifest.parent)}
    found = execute(("pareto_front", "energy_breakdown"), tmp_path / "again", own)
    said = " ".join(d.get("text/plain", "") for d in outputs(found["energy_breakdown"]))
    assert "energy [µJ]" in said
    assert "pruning_ratio 0.4" not in said  # that of the notebook's own design
    assert not list((tmp_path / "again").rglob("manifest.json"))
