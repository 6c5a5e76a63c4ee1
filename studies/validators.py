"""A setting that is checked by a function of the engine."""

from collections.abc import Callable

from pydantic import AfterValidator

from dse.core.errors import DseError


def validated_by(require: Callable[[str], None]) -> AfterValidator:
    """A name that `require` does not refuse; what it says stands with the other problems."""

    def checked(name: str) -> str:
        try:
            require(name)
        except DseError as error:
            raise ValueError(str(error)) from None
        return name

    return AfterValidator(checked)
