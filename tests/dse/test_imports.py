"""Who imports `dse` pays for the engine, not for the libraries behind it."""

import subprocess
import sys
from pathlib import Path

import dse

HEAVY = ("torch", "transformers", "ray", "optuna", "pymoo", "plotly")

CORE = """
import dse.core.errors, dse.core.parameters, dse.core.space, dse.core.evaluation
import dse.core.problem, dse.pareto.dominance
import dse.pareto.hypervolume, dse.search.loop, dse.searchers.searcher, dse.searchers.random_search
import dse.searchers.exhaustive, dse.workers.workers, dse.workers.serial
import dse.workers.process_pool, dse.workers.ray_workers
"""


def loaded_after(statement):
    look = f"{statement}\nimport sys\nprint(' '.join(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


def test_the_package_is_ours():
    # Two other distributions install a package of this name.
    root = Path(__file__).parents[2]
    assert Path(dse.__file__) == root / "dse" / "__init__.py"


def test_importing_dse_loads_no_heavy_library():
    loaded = loaded_after("import dse")
    assert "dse" in loaded
    assert not loaded & set(HEAVY)


def test_the_core_needs_no_heavy_library():
    assert not loaded_after(CORE) & set(HEAVY)


def test_importing_dse_takes_less_than_half_a_second():
    # The one budget that is asserted with a clock. The least of several runs is the cost of the
    # import; the rest is what else the machine did.
    timed = "import time; t = time.perf_counter(); import dse; print(time.perf_counter() - t)"
    runs = [
        subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, check=True)
        for _ in range(5)
    ]
    assert min(float(run.stdout) for run in runs) < 0.5
