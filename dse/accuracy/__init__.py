"""Real networks on real labelled text; the only importer of torch and transformers."""

import os

# Two threads of a training wait for each other thousands of times a second. By default they spin,
# and on a machine that others use too they then burn the very processor the other one needs. Read
# by OpenMP when torch is loaded; a choice of the user's own stands. Results do not depend on it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
