"""Where the sentences of an archive leave, counted for every limit and every split at once.

    M_0 = infinity, M_L = -infinity, else M_l = the least score of layers 1 to l
    left by layer l     if and only if M_l < limit
    k_l                 sentences that have left by layer l: one binary search in the order of M_l
    right(s)            right answers if those that have not left by layer s are answered there
                        = right answers after layer s + sum over l < s of G_l(k_l)
    G_l(k)              sum over the first k in the order of M_l of (right after l - right after
                        l + 1): at M_l, a sentence changes from the answer of layer l + 1 to that
                        of layer l

On a device with s layers stay those that have not left by layer min(s, L - 1): with s = L the last
exit is where a sentence stands.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dse.accuracy.prefix_counts import FloatArray, IntArray, Order


@dataclass(frozen=True, slots=True, eq=False)
class ExitCounts:
    """Step functions of one archive and rule; n sentences, L layers.

    Attributes:
        orders: Of the sentences by M_l, l = 0 to L.
        right: Right answers after each layer, none after layer 0, shape (L + 1,).
        sooner: G_l, shape (L, n + 1).
        later: Right answers gained if all but the first k in the order of M_s are answered after
            layer L and not s; 0 for s = L; shape (L + 1, n + 1).
    """

    orders: tuple[Order, ...]
    right: IntArray
    sooner: NDArray[np.int32]
    later: NDArray[np.int32]

    @classmethod
    def of(cls, least: FloatArray, right: NDArray[np.bool_]) -> "ExitCounts":
        """The counts of an archive.

        Args:
            least: M_l of layers 1 to L - 1, not rising from layer to layer, shape (n, L - 1).
            right: Whether each answer is right, shape (n, L).

        Raises:
            ValueError: If the layers of the two do not fit together.
        """
        never = np.full((len(right), 1), np.inf)
        orders = tuple(Order.of(column) for column in np.hstack([never, least, -never]).T)
        answers = np.pad(right, ((0, 0), (1, 0))).T.astype(np.int64)
        steps = zip(orders[:-1], answers[:-1], answers[1:], strict=True)
        sooner = [order.sums(here - behind) for order, here, behind in steps]
        later = [
            order.sums(answers[-1] - here) for order, here in zip(orders, answers, strict=True)
        ]
        return cls(
            orders,
            answers.sum(axis=1),
            np.array(sooner, dtype=np.int32),
            np.array([sums[-1] - sums for sums in later], dtype=np.int32),
        )

    def left(self, limits: FloatArray) -> IntArray:
        """k_0 to k_L of each limit, shape (q, L + 1)."""
        return np.stack([order.below(limits) for order in self.orders], axis=1)

    def last(self, split: NDArray[np.int64] | int) -> NDArray[np.int64]:
        """Layer by which a sentence must have left so as not to stay on s layers."""
        return np.minimum(split, len(self.orders) - 2)

    def unsent(self, left: IntArray, split: IntArray) -> tuple[IntArray, IntArray]:
        """Right answers and answers after layers 0 to L if those that stay are answered after s.

        Args:
            left: k_0 to k_L, shape (q, L + 1).
            split: s, 0 to L; the answer after layer 0 is none, and never right; shape (q,).

        Returns:
            Shape (q,) and (q, L + 1).
        """
        layers = np.arange(len(self.orders))
        early = layers < split[:, np.newaxis]
        steps = self.sooner[layers[:-1], left[:, :-1]]
        gained = np.where(early[:, :-1], steps, 0).sum(axis=1)
        answered = np.diff(np.where(early, left, left[:, -1:]), axis=1, prepend=0)
        return self.right[split] + gained, answered

    def crossing(self, gone: IntArray, split: IntArray) -> IntArray:
        """Sentences that stay and what is gained if layer L answers them, shape (q, 2).

        Args:
            gone: Sentences that do not stay, shape (q,).
            split: s, shape (q,).
        """
        return np.stack([self.later.shape[1] - 1 - gone, self.later[split, gone]], axis=1)
