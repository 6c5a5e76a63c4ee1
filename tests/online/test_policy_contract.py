"""Every policy of the package keeps the contract that it asks of others."""

import numpy as np
import pytest

from dse.online.policies.bandwidth import Transfers, per_bandwidth
from dse.online.policies.deadline import BySignal, LeastEnergy, PerClass, fastest
from dse.online.policies.switching_costs import Switching, SwitchingAware
from dse.online.requests import Requests
from dse.online.rows import Rows
from dse.online.simulation.sentence_dvfs import (
    ByForetoldExit,
    ExitLut,
    VoltageRows,
    sentence_policy,
)
from dse.online.testing import PolicyContract

K, N = 20, 60


def choices():
    rng = np.random.default_rng(3)
    energy, latency = np.sort(rng.uniform(1, 9, K)), np.sort(rng.uniform(0.1, 2, K))[::-1]
    return Rows(energy, latency.copy(), rng.choice([0.6, 0.7, 0.8], K),
                   {"row": np.arange(K)}, np.arange(K), np.ones(K, dtype=bool))  # fmt: skip


class OfRows(PolicyContract):
    def requests(self):
        rng = np.random.default_rng(4)
        return Requests.of(
            rng.uniform(0.05, 2.2, N),
            accuracy=rng.choice([0.0, 0.65, 0.9], N),
            signal=rng.random(N),
            bandwidth=rng.choice([1e5, 3e6, 1e9], N),
        )


class TestFixed(OfRows):
    def policy(self):
        return fastest(choices())


class TestLeastEnergy(OfRows):
    def policy(self):
        return LeastEnergy.of(choices())


class TestSwitchingAware(OfRows):
    @pytest.fixture(autouse=True)
    def _same(self):
        rows = choices()
        self._policy = SwitchingAware(rows, Switching(rows.settings, 0.05, 0.4), 0.1)

    def policy(self):
        return self._policy


class TestPerBandwidth(OfRows):
    def policy(self):
        rows = choices()
        bits = np.where(np.arange(K) % 3 == 0, 0.0, 1e6)
        transfers = Transfers(rows.latency, rows.energy, bits, np.full(K, 2.7))
        switching = Switching(rows.settings, 0.05, 0.4)
        return per_bandwidth(
            rows, transfers, (1e6, 1e7), lambda table: SwitchingAware(table, switching, 0.05)
        )


class TestAppeal(OfRows):
    def policy(self):
        rows, little = choices(), np.arange(K) < K // 2
        return PerClass(
            BySignal((0.4,)),
            (LeastEnergy.of(rows.only(~little)), LeastEnergy.of(rows.only(little))),
        )


class TestSentenceDvfs(PolicyContract):
    def policy(self):
        vdd = np.array([0.5, 0.65, 0.8])
        rows = VoltageRows(vdd, 1e-3 * vdd[::-1], vdd**2, 1e-5 * (0.8 - vdd), 1e-4, 0.1)
        trace = np.random.default_rng(5).uniform(0, 0.69, (50, 6)) * np.linspace(1, 0.2, 6)
        return sentence_policy(rows, ByForetoldExit.at(ExitLut.learned(trace, 2), 0.2))

    def requests(self):
        rng = np.random.default_rng(6)
        return Requests.of(rng.uniform(1e-3, 8e-3, N), signal=rng.uniform(0, 0.69, N))
