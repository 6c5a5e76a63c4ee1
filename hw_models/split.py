"""Split computing: board, link and cloud in one evaluator (DynaSplit, arXiv 2410.23881).

latency = edge + transfer + cloud
energy  = P_edge t_edge + P_wait (t_transfer + t_cloud) + E_link + E_cloud
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np

from dse.core.signature import Label, Signature
from hw_models.cloud import CloudNode
from hw_models.columns import Breakdown, Columns, FloatArray, pick
from hw_models.edge_device import EdgeDevice
from hw_models.link import Link
from hw_models.table import weakest


@dataclass(frozen=True, slots=True, eq=False)
class SplitComputing:
    """Evaluator: split layer, clock, accelerator, cloud GPU and bandwidth to latency and energy.

    Attributes:
        edge: The board.
        link: Between both.
        cloud: The node, characterised for the same layers as the board.
        sizes: Bytes sent when the network is cut after layer k [byte], shape (layers + 1,); 0 after
            the last.
        founded: How well sizes and coefficients are founded at best; a fit to one's own trials is
            published. A part that is founded worse says so itself.
    """

    edge: EdgeDevice
    link: Link
    cloud: CloudNode
    sizes: FloatArray
    founded: Label = "published"

    inputs: ClassVar[Mapping[str, str]] = {
        "split_layer": "layer",
        "cpu_frequency": "Hz",
        "tpu_mode": "choice",
        "cloud_gpu": "choice",
        "bandwidth": "bit/s",
    }
    outputs: ClassVar[Mapping[str, str]] = {"latency": "s", "energy": "J"}

    def __post_init__(self) -> None:
        wanted = self.edge.layers + 1
        if self.sizes.shape != (wanted,) or self.cloud.tail.shape[1] != wanted:
            raise ValueError(
                f"sizes and cloud.tail must hold layers + 1 = {wanted} splits, got "
                f"{self.sizes.shape} and {self.cloud.tail.shape}"
            )

    @property
    def signature(self) -> Signature:
        """Evidence is the weakest of board, link, node and whole, each of which moves both."""
        parts = (self.edge.founded, self.link.founded, self.cloud.founded)
        return Signature.uniform(self.inputs, self.outputs, weakest(self.founded, *parts))

    def __call__(self, columns: Columns) -> dict[str, FloatArray]:
        """Latency [s] and energy [J] of one request, shape (n,) each.

        Raises:
            ValueError: If a column is missing or out of range; see `parts`.
        """
        parts = self.parts(columns)
        return {
            name: np.sum(list(parts[name].values()), axis=0, dtype=np.float64) for name in parts
        }

    def parts(self, columns: Columns) -> dict[str, dict[str, FloatArray]]:
        """The outputs by component: edge, transfer, cloud; energy has waiting beside them.

        Args:
            columns: split_layer [layer], whole; cpu_frequency [Hz]; tpu_mode and cloud_gpu,
                names; bandwidth [bit/s] that a payload sees, above 0. Each of shape (n,).

        Raises:
            ValueError: If a column is missing or out of range.
        """
        split, frequency, mode, gpu, bandwidth = pick(columns, tuple(self.inputs))
        frequency = frequency.astype(np.float64)
        edge = self.edge.latency(split, frequency, mode)
        size = self.sizes[split.astype(np.intp)]
        transfer = self.link.latency(size, bandwidth.astype(np.float64))
        cloud = self.cloud.latency(split, gpu)
        return {
            "latency": {"edge": edge, "transfer": transfer, "cloud": cloud},
            "energy": {
                "edge": self.edge.power(frequency, mode) * edge,
                "waiting": self.edge.waiting * (transfer + cloud),
                "transfer": self.link.energy(size, transfer),
                "cloud": self.cloud.energy(cloud, gpu),
            },
        }


def break_down_split(model: SplitComputing, columns: Columns) -> Breakdown:
    """Energy and latency of each request by layer and component.

    Args:
        model: Board, link and node, characterised for every split.
        columns: Of the model, shape (n,).

    Returns:
        Parts that sum to the outputs up to rounding. Row 0 is what belongs to no layer: loading the
        input, transfer and waiting.

    Raises:
        ValueError: If a column is out of range, or a split in between was not characterised.
    """
    split, frequency, mode, gpu, _ = pick(columns, tuple(model.inputs))
    frequency = frequency.astype(np.float64)
    whole = model.parts(columns)
    layers = range(model.edge.layers + 1)
    board = [
        model.edge.latency(np.minimum(split, k).astype(np.intp), frequency, mode) for k in layers
    ]
    node = [model.cloud.latency(np.maximum(split, k), gpu) for k in layers]
    none = np.zeros_like(board[0])
    edge = np.diff(np.stack([none, *board]), axis=0)
    cloud = np.stack([none, *(before - after for before, after in pairwise(node))])
    between = np.zeros((len(edge), 1))
    between[0] = 1.0
    spent = whole["energy"]
    return Breakdown(
        {
            "edge": model.edge.power(frequency, mode) * edge,
            "cloud": model.cloud.energy(cloud, gpu),
            "transfer": between * spent["transfer"],
            "waiting": between * spent["waiting"],
        },
        {"edge": edge, "cloud": cloud, "transfer": between * whole["latency"]["transfer"]},
    )
