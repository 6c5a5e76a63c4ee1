# Each target makes the virtual environment when it is absent or older than what it is made from.
PYTHON ?= python3
BIN := .venv/bin
RUN ?= runs/demo
STUDY ?= studies/edgebert/sentiment.yaml

.PHONY: demo test test-ci ci-tools test-slow mutants search-table check format bench clean

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[accuracy,botorch,ray,dev]'
	touch $@

# A real study, start to end: fetch the task, train once, search on Ray, look, export.
demo: .venv/installed
	$(BIN)/dse data fetch rt-sentiment
	rm -rf $(RUN)
	$(BIN)/dse run $(STUDY) --executor ray --workers 2 --searcher nsga2 --out $(RUN)
	$(BIN)/dse front $(RUN)
	$(BIN)/dse plot $(RUN)
	$(BIN)/dse export $(RUN) --format json

# Two processes, a file to each: half the time, and files keep their own networks and clusters.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --no-skips
SPREAD := -n 2 --dist loadfile

# The quick tier: wants no network, no compiler and no cluster.
test: .venv/installed
	$(PYTEST) $(SPREAD)

# The rest that every change must pass: tasks from the registries, compilers and sanitizers, Ray,
# notebooks, whole studies.
test-ci: .venv/installed
	$(PYTEST) $(SPREAD) -m "ci and not slow"

# Installs, as root on Debian, what test-ci needs of the system: tests/tools.csv.
ci-tools:
	.ci/tools

test-slow: .venv/installed
	$(PYTEST) -m slow --timeout 5400

# Changes the source in many places; a test must fail for each change, or accepted.toml say why not.
mutants: .venv/installed
	$(BIN)/python tests/mutants/run.py

# Speed is measured here and nowhere asserted with a clock: each figure stands beside a peer's.
bench: .venv/installed
	$(BIN)/python -m pytest tests/benchmarks --benchmark-only --benchmark-columns=min,median,rounds
	# Whole runs, several contenders in one: not for the fixture, which times one function.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -s --benchmark-disable --timeout 1200 \
		tests/benchmarks/test_throughput.py tests/benchmarks/test_parallel.py

# Distinct accuracy runs to a level, every searcher beside bare pymoo and Optuna; goes on where the file stops.
search-table: .venv/installed
	OMP_NUM_THREADS=1 nice -n 10 $(BIN)/python tests/benchmarks/search_table.py run --seeds 10

check: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/check_facts.py

format: .venv/installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv runs .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
