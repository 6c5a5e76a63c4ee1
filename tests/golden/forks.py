"""Runs a module over and over as `python -m` does, each time in a fork that has it loaded.

Every line of standard input is an order, JSON with `arguments`, `out` and `err`; every line of
standard output is the exit code of one. A new interpreter takes seconds to load the project and
its libraries and to take them down again, a fork takes none.

    python forks.py MODULE
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import sys
import traceback

LIBRARIES = ("torch", "transformers.models.bert.modeling_bert", "sklearn.ensemble", "scipy.stats")
"""Others' modules that take seconds to load and start no thread."""


def main() -> None:
    """Serve orders until there are no more."""
    module = sys.argv[1]
    importlib.import_module(module)
    for library in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(library)
    gc.collect()
    gc.freeze()
    while line := sys.stdin.readline():
        order = json.loads(line)
        pid = os.fork()
        if not pid:
            _become(module, order)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        sys.stdout.write(f"{code}\n")
        sys.stdout.flush()


def _become(module: str, order: dict[str, object]) -> None:
    """Be the command; ends the process."""
    for target, path in ((0, os.devnull), (1, order["out"]), (2, order["err"])):
        opened = os.open(str(path), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(opened, target)
        os.close(opened)
    code = _run(module, order["arguments"])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run(module: str, arguments: object) -> int:
    assert isinstance(arguments, list)
    sys.argv = [module, *arguments]
    del sys.modules[module]  # it is about to be run, not to be found imported
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    main()
