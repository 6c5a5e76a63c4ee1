"""What can be wrong with a lookup table: one code per fault, the same in every reader."""

from enum import IntEnum

from dse.core.errors import DseError


class Fault(IntEnum):
    """Codes 1 to 21 are shared with the C and the Rust reader; checks run in this order."""

    TOO_SHORT = 1
    MAGIC = 2
    BYTE_ORDER = 3
    VERSION = 4
    SIZE = 5
    CRC = 6
    EMPTY = 7
    LAYOUT = 8
    STRING = 9
    COLUMN = 10
    NAMES = 11
    VALUE = 12
    ORDER = 13
    DEFAULT = 14
    EXIT = 15
    POINTS = 16
    INDEX = 17
    DEVICE = 18
    NETWORK = 19
    TASK = 20
    CONTEXT = 21
    FORM = 30
    """JSON and CBOR only: a key or a type is not of the published schema, or the text is not
    canonical."""
    DIGEST = 31
    """JSON, CBOR, and a binary on the host: the SHA-256 is not that of the content."""
    UNFIT = 32
    """A number of a run cannot be an integer of a stated scale."""
    NO_SUCH_PART = 33
    """The format asked for needs something that the table does not hold."""


class LutError(DseError):
    """A lookup table is refused.

    Attributes:
        fault: Which of the known faults.
    """

    def __init__(self, fault: Fault, said: str) -> None:
        self.fault = fault
        super().__init__(f"lookup table refused, {fault.name}: {said}")
