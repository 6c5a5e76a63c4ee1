"""The names of the package, each imported from its module when it is asked for."""

import subprocess
import sys

import pytest

import hw_models


@pytest.mark.parametrize("name", hw_models.__all__)
def test_every_name_is_there_and_called_so(name):
    assert getattr(hw_models, name).__name__ == name


def test_what_is_not_asked_for_is_not_imported():
    look = (
        "import sys\nfrom hw_models import SplitComputing\n"
        "assert SplitComputing.__module__ == 'hw_models.split'\n"
        "print({'hw_models.accelerator', 'hw_models.fit'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
    with pytest.raises(AttributeError, match="Nothing"):
        _ = hw_models.Nothing
