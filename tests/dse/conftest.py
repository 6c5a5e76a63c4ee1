"""Laws are checked by examples, never by the clock of a machine that others use as well."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
