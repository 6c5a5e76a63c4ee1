"""A small network on a board that appeals to a large one in the cloud (AppealNet, 2105.04104).

    latency = edge                          + transfer + cloud, if appealed
    energy  = P_edge t_edge + AR (P_wait (t_transfer + t_cloud) + E_link + E_cloud)

The small network and its predictor head run on every input, appealed or not. The link costs a fixed
part and one per byte: payloads of text are so small that the fixed part rules.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dse.core.signature import Label, Signature
from hw_models.cloud import CloudNode
from hw_models.columns import Columns, FloatArray, pick, require_range
from hw_models.edge_device import EdgeDevice
from hw_models.link import Link


@dataclass(frozen=True, slots=True, eq=False)
class Appealing:
    """Evaluator: small network, clock, cloud and appealing rate to the cost of one input.

    Attributes:
        edge: The board, characterised for small networks of 1 to `layers` layers, head included.
        link: Between both.
        clouds: Name of a large network -> the node, characterised for it: the time that it takes
            whole is `tail[:, 0]`.
        payload: Bytes of an input that is sent [byte], above 0.
        bandwidth: Goodput of the link [bit/s], above 0.
        founded: How well the coefficients are founded.
    """

    edge: EdgeDevice
    link: Link
    clouds: Mapping[str, CloudNode]
    payload: float
    bandwidth: float
    founded: Label = "published"

    inputs: ClassVar[Mapping[str, str]] = {
        "edge_layers": "layer",
        "cpu_frequency": "Hz",
        "cloud_gpu": "choice",
        "cloud_network": "choice",
        "appeal_rate": "1",
    }
    outputs: ClassVar[Mapping[str, str]] = {
        "energy": "J",
        "latency": "s",
        "latency_p95": "s",
        "energy_edge": "J",
        "energy_cloud": "J",
        "latency_kept": "s",
        "latency_appealed": "s",
        "energy_appeal": "J",
        "sent": "byte",
    }

    def __post_init__(self) -> None:
        if not self.payload > 0 or not self.bandwidth > 0:
            raise ValueError(
                f"payload = {self.payload} byte and bandwidth = {self.bandwidth} bit/s must be "
                "above 0: an appeal sends something"
            )
        if not self.clouds:
            raise ValueError("clouds is empty: an appeal goes to some network")

    @property
    def signature(self) -> Signature:
        """Evidence says how well the coefficients are founded."""
        return Signature.uniform(self.inputs, self.outputs, self.founded)

    def __call__(self, columns: Columns) -> dict[str, FloatArray]:
        """Cost of one input, shape (n,) each.

        Args:
            columns: edge_layers [layer], whole, 1 or more; cpu_frequency [Hz]; cloud_gpu, off or
                on; cloud_network, a name of `clouds`; appeal_rate [1], 0 to 1.

        Returns:
            energy and latency: means over inputs [J], [s]. latency_p95: the least time within which
            at least 95 % are answered [s]. energy_edge and energy_cloud: parts of the mean; waiting
            and radio count to the edge. latency_kept, latency_appealed, energy_appeal: of an input
            that stays, of one that is appealed, and what the appeal adds. sent: mean [byte].

        Raises:
            ValueError: If a column is missing or out of range.
        """
        once, rate = self._once(columns), self._rate(columns)
        kept, transfer, remote = once["latency"].values()
        edge, waiting, radio, spent = once["energy"].values()
        waits = waiting + radio
        appealed = kept + transfer + remote
        # Rates are shares of counts: a rate of 5 % is 0.05 up to its last bit.
        late = rate > 0.05 * (1.0 + 1e-12)
        return {
            "energy": edge + rate * (waits + spent),
            "latency": kept + rate * (transfer + remote),
            "latency_p95": np.where(late, appealed, kept),
            "energy_edge": edge + rate * waits,
            "energy_cloud": rate * spent,
            "latency_kept": kept,
            "latency_appealed": appealed,
            "energy_appeal": waits + spent,
            "sent": rate * self.payload,
        }

    def parts(self, columns: Columns) -> dict[str, dict[str, FloatArray]]:
        """Mean latency and energy by component: edge, transfer, cloud; energy has waiting too.

        Args:
            columns: As for the call.

        Returns:
            Parts that sum to `latency` and `energy` up to rounding (1e-12).

        Raises:
            ValueError: As the call.
        """
        once, rate = self._once(columns), self._rate(columns)
        return {
            name: {part: cost if part == "edge" else rate * cost for part, cost in costs.items()}
            for name, costs in once.items()
        }

    def _rate(self, columns: Columns) -> FloatArray:
        rate = np.asarray(columns["appeal_rate"], dtype=np.float64)
        require_range("appeal_rate", rate, (0.0, 1.0), "1", "a share of the inputs")
        return rate

    def _once(self, columns: Columns) -> dict[str, dict[str, FloatArray]]:
        """Cost of one input that is appealed, by component."""
        layers, frequency, gpu, network, rate = pick(columns, tuple(self.inputs))
        require_range("edge_layers", layers, (1.0, np.inf), "layer", "a network that answers")
        frequency = frequency.astype(np.float64)
        mode = np.full(len(rate), self.edge.modes[0])
        kept = self.edge.latency(layers, frequency, mode)
        size = np.full(len(rate), self.payload)
        transfer = self.link.latency(size, np.full(len(rate), self.bandwidth))
        remote, spent = self._remote(network, gpu)
        return {
            "latency": {"edge": kept, "transfer": transfer, "cloud": remote},
            "energy": {
                "edge": self.edge.power(frequency, mode) * kept,
                "waiting": self.edge.waiting * (transfer + remote),
                "transfer": self.link.energy(size, transfer),
                "cloud": spent,
            },
        }

    def _remote(self, network: FloatArray, gpu: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Time [s] and energy [J] of the large network, shape (n,) each."""
        time, energy = np.full(len(network), np.nan), np.full(len(network), np.nan)
        for name, node in self.clouds.items():
            rows = network == name
            start = np.zeros(int(rows.sum()))
            time[rows] = node.latency(start, gpu[rows])
            energy[rows] = node.energy(time[rows], gpu[rows])
        if np.isnan(time).any():
            bad = str(network[np.isnan(time)][0])
            raise ValueError(f"cloud_network = {bad!r} is not one of {list(self.clouds)}")
        return time, energy
