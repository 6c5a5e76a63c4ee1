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


def test_importing_dse_loads_nothing_but_dse_and_the_standard_library():
    # What takes time is what is loaded; how much time, only an idle machine can tell.
    loaded = loaded_after("import dse") - loaded_after("")
    foreign = {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names - {"dse"}
    assert foreign == set()
    assert len(loaded) < 100
