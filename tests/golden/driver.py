"""The `dse` command line as a user sees it: exit code, standard output and standard error."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

FORKS = Path(__file__).resolve().with_name("forks.py")


class Ended(NamedTuple):
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


class Dse:
    """Runs `dse` in one folder; a context manager.

    Args:
        folder: Where commands run; the cache is in it, and nothing is taken from anywhere else.
        root: Folder of the source that is run.
        module: What `python -m` runs.
        fresh: Whether every command has an interpreter of its own; slower, and to the same end.
    """

    def __init__(self, folder: Path, root: Path, module: str, *, fresh: bool = False) -> None:
        self.folder = folder
        self._module = module
        self._said = folder.parent / "said"
        self._said.mkdir()
        self._environment = {
            **{name: value for name, value in os.environ.items() if name not in _PERSONAL},
            "PYTHONPATH": str(root),
            "EDGE_DSE_CACHE": str(folder.parent / "cache"),
            "HF_HOME": str(folder.parent / "hub"),
            **_SAME_EVERYWHERE,
        }
        self._server = None if fresh else self._forks()

    def _forks(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, FORKS, self._module],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Dse":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.communicate(timeout=60)

    def __call__(self, arguments: Sequence[str]) -> Ended:
        """Run one command to its end."""
        out, err = self._said / "out", self._said / "err"
        if self._server is None:
            with out.open("w") as one, err.open("w") as other:
                command = [sys.executable, "-m", self._module, *arguments]
                code = subprocess.run(
                    command, cwd=self.folder, env=self._environment, stdin=subprocess.DEVNULL,
                    stdout=one, stderr=other, check=False,
                ).returncode  # fmt: skip
        else:
            code = self._ordered({"arguments": list(arguments), "out": str(out), "err": str(err)})
        return Ended(code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))

    def _ordered(self, order: dict[str, object]) -> int:
        assert self._server is not None
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        answer = self._server.stdout.readline()
        if not answer:
            raise SystemExit(f"python -m {self._module} cannot be run: see above")
        return int(answer)


_PERSONAL = ("FORCE_COLOR", "PYTHONWARNINGS", "TERMINAL_WIDTH")
_SAME_EVERYWHERE = {
    "COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb", "LC_ALL": "C.UTF-8", "TZ": "UTC",
    "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}  # fmt: skip
"""Width of a terminal, colours, language, threads: what a text or a last digit may hang on."""
