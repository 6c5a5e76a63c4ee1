"""What `dse` does is what it did; see behaviour.py."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_command_does_what_it_did() -> None:
    """Differences are listed with both values."""
    result = subprocess.run(
        [sys.executable, HERE / "behaviour.py", "compare"],
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    assert result.returncode == 0, result.stdout or result.stderr
