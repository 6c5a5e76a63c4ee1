"""`python -m dse` runs the installed command `dse`."""

import sys
from importlib.metadata import distribution

if __name__ == "__main__":
    (command,) = distribution("edge-dse").entry_points.select(group="console_scripts", name="dse")
    sys.exit(command.load()())
