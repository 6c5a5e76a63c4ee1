"""The session's real task under the name that these tests use."""

import pytest


@pytest.fixture(scope="session")
def fetched(real_cache):
    """A cache folder with rt-sentiment in it."""
    return real_cache
