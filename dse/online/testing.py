"""Contract tests of a policy, to be inherited by whoever writes one.

class TestMyPolicy(PolicyContract):
    def policy(self):
        return MyPolicy(...)

    def requests(self):
        return Requests.of(...)
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from dse.core.parameters import Column
from dse.online.requests import UNSET, Policy, Requests, State, follow


class PolicyContract:
    """What every policy promises."""

    def policy(self) -> Policy:
        """Hook: the policy, always the same."""
        raise NotImplementedError

    def requests(self) -> Requests:
        """Hook: at least three different requests, all of which it can decide."""
        raise NotImplementedError

    def _rows(self) -> list[int]:
        """Rows that can be set: none, and each that the policy ever picks."""
        return [UNSET, *np.unique(follow(self.policy(), self.requests())).tolist()]

    def test_both_ways_agree_whatever_is_set(self) -> None:
        """`select_all` is `select`, request by request, to the bit."""
        policy, requests = self.policy(), self.requests()
        bandwidth = requests.bandwidth.tolist()
        for row in self._rows():
            alone = [
                policy.select(requests.request(i), State(row, bandwidth[i]))
                for i in range(len(requests))
            ]
            assert policy.select_all(requests, row).tolist() == alone

    def test_only_a_policy_that_remembers_looks_at_the_row(self) -> None:
        """`remembers` is told truly where it is no."""
        policy, requests = self.policy(), self.requests()
        if not policy.remembers:
            first, *others = (policy.select_all(requests, row) for row in self._rows())
            assert all((first == other).all() for other in others)

    def test_deciding_changes_nothing(self) -> None:
        """The same question has the same answer, however often and in whatever order."""
        policy, requests = self.policy(), self.requests()
        once = policy.select_all(requests, UNSET)
        follow(policy, requests)
        assert (policy.select_all(requests, UNSET) == once).all()
        backwards = [
            policy.select(requests.request(i), State(UNSET, float(requests.bandwidth[i])))
            for i in reversed(range(len(requests)))
        ]
        assert backwards[::-1] == once.tolist()

    def test_a_part_of_the_requests_is_decided_as_in_the_whole(self) -> None:
        """A column equals its rows."""
        policy, requests = self.policy(), self.requests()
        odd = np.arange(len(requests)) % 2 == 1
        whole = policy.select_all(requests, UNSET)
        assert (policy.select_all(requests.take(odd), UNSET) == whole[odd]).all()

    def test_rows_are_numbers_from_0(self) -> None:
        """Never `UNSET`, and of the index type."""
        rows = self.policy().select_all(self.requests(), UNSET)
        assert rows.dtype == np.intp
        assert rows.shape == (len(self.requests()),)
        assert (rows >= 0).all()


class SettledBeforeTheSignalContract(PolicyContract):
    """What a policy promises some knobs of which are set before the network has said anything."""

    def settled(self) -> Mapping[str, Column]:
        """Hook: those knobs, with the value that each row sets, shape (k,)."""
        raise NotImplementedError

    def test_what_runs_before_the_signal_does_not_depend_on_it(self) -> None:
        """Whatever the network says, and in whatever row it is asked, these knobs stay."""
        policy, requests, settled = self.policy(), self.requests(), self.settled()
        n = len(requests)
        for row in self._rows():
            once = policy.select_all(requests, row)
            for signal in (*np.linspace(-0.1, 1.1, 25), *np.unique(requests.signal)):
                said = replace(requests, signal=np.full(n, signal))
                again = policy.select_all(said, row)
                for name, column in settled.items():
                    assert (column[again] == column[once]).all(), f"{name} follows the signal"
