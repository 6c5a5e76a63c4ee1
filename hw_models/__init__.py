"""What it costs: closed-form hardware models as pure functions of numpy columns, in SI units."""

from hw_models.accelerator import Accelerator
from hw_models.datapath import Datapath, InitiationIntervals
from hw_models.memory import Envm, Sram
from hw_models.operating_points import OperatingPoints
from hw_models.silicon import Silicon
from hw_models.storage import Storage
from hw_models.table import Table, read, shipped, shipped_names
from hw_models.workload import EncoderShape

__all__ = [
    "Accelerator",
    "Datapath",
    "EncoderShape",
    "Envm",
    "InitiationIntervals",
    "OperatingPoints",
    "Silicon",
    "Sram",
    "Storage",
    "Table",
    "read",
    "shipped",
    "shipped_names",
]
