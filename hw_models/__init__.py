"""What it costs: closed-form hardware models as pure functions of numpy columns, in SI units.

Names are imported from their modules when they are asked for: who splits a network pays for no
accelerator.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hw_models.accelerator import Accelerator
    from hw_models.alpha_power import AlphaPower, fit_alpha_power
    from hw_models.attention_span import AttentionSpan
    from hw_models.breakdown import break_down, executed_shares
    from hw_models.cloud import CloudNode
    from hw_models.columns import Breakdown, total
    from hw_models.datapath import Datapath
    from hw_models.dvfs import Load, SentenceDvfs, Sentences
    from hw_models.edge_device import EdgeDevice
    from hw_models.faults import fault_rate
    from hw_models.fit import SplitFit, fit_split, read_trials
    from hw_models.latency_aware import LatencyAware
    from hw_models.link import Link
    from hw_models.machine.edgebert import (
        ArrayChip,
        InitiationIntervals,
        edgebert_12nm_first_edition,
    )
    from hw_models.memory import Envm
    from hw_models.operating_points import OperatingPoints
    from hw_models.silicon import Silicon
    from hw_models.sparse_store import PowerOn, SparseStore
    from hw_models.split import SplitComputing, break_down_split
    from hw_models.sram import Sram
    from hw_models.storage import Storage
    from hw_models.supply import Supply
    from hw_models.systems.board import Board
    from hw_models.systems.chip import Chip
    from hw_models.systems.early_exit import EarlyExit
    from hw_models.systems.journey import Journey
    from hw_models.table import Table, read, shipped, shipped_csv, shipped_names
    from hw_models.uncertainty import Interval, evaluate_each, sample_models, survival, surviving
    from hw_models.workload.encoder import EncoderShape, from_config
    from hw_models.workload.exits import with_exits
    from hw_models.workload.table import Workload
    from hw_models.workload.tracing import trace

_NAMES = {
    "accelerator": "Accelerator",
    "alpha_power": "AlphaPower fit_alpha_power",
    "attention_span": "AttentionSpan",
    "breakdown": "break_down executed_shares",
    "cloud": "CloudNode",
    "columns": "Breakdown total",
    "datapath": "Datapath",
    "machine.edgebert": "ArrayChip InitiationIntervals edgebert_12nm_first_edition",
    "dvfs": "Load SentenceDvfs Sentences",
    "edge_device": "EdgeDevice",
    "faults": "fault_rate",
    "fit": "SplitFit fit_split read_trials",
    "latency_aware": "LatencyAware",
    "link": "Link",
    "memory": "Envm",
    "operating_points": "OperatingPoints",
    "silicon": "Silicon",
    "sparse_store": "PowerOn SparseStore",
    "split": "SplitComputing break_down_split",
    "sram": "Sram",
    "storage": "Storage",
    "supply": "Supply",
    "systems.board": "Board",
    "systems.chip": "Chip",
    "systems.early_exit": "EarlyExit",
    "systems.journey": "Journey",
    "table": "Table read shipped shipped_csv shipped_names",
    "uncertainty": "Interval evaluate_each sample_models survival surviving",
    "workload.encoder": "EncoderShape from_config",
    "workload.exits": "with_exits",
    "workload.table": "Workload",
    "workload.tracing": "trace",
}
"""Module -> what it gives to this package."""

_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


__all__ = [
    "Accelerator", "AlphaPower", "ArrayChip", "AttentionSpan", "Board", "Breakdown", "Chip",
    "CloudNode", "Datapath", "EarlyExit", "EdgeDevice", "EncoderShape", "Envm",
    "InitiationIntervals", "Interval", "Journey", "LatencyAware", "Link", "Load",
    "OperatingPoints", "PowerOn", "SentenceDvfs", "Sentences", "Silicon", "SparseStore",
    "SplitComputing", "SplitFit", "Sram", "Storage", "Supply", "Table", "Workload",
    "break_down", "break_down_split", "edgebert_12nm_first_edition", "evaluate_each",
    "executed_shares", "fault_rate", "fit_alpha_power", "fit_split", "from_config", "read",
    "read_trials", "sample_models", "shipped", "shipped_csv", "shipped_names", "survival",
    "surviving", "total", "trace", "with_exits",
]  # fmt: skip
