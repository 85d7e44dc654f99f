"""Which structures an epoch draws where groups of different sizes are to be seen equally often."""

from collections.abc import Callable, Sequence

import numpy as np

_OF_GROUPS = 1  # tells the seeds of groups from those of epochs


def balanced(groups: Sequence[str]) -> Callable[[int, int], np.ndarray]:
    """Returns ``draw(seed, epoch)``: as many indices as there are structures, in random order.

    Each group has the same share of them, to one. It is gone through again and again, each time in
    another random order, and an epoch goes on where the one before ended: within a group all
    structures are drawn equally often, also those of a group too large for one epoch. An epoch is a
    function of its number alone.

    Args:
      groups: Group of each structure, at least one.
    """
    names = sorted(set(groups))
    members = [np.flatnonzero(np.asarray(groups) == name) for name in names]
    each, over = divmod(len(groups), len(names))

    def drawn_before(group: int, epoch: int) -> int:
        """How many times the first epochs draw from a group: what is over goes round."""
        extra = epoch * over
        return epoch * each + (extra - group + len(names) - 1) // len(names)

    def draw(seed: int, epoch: int) -> np.ndarray:
        parts = []
        for group, own in enumerate(members):
            places = np.arange(drawn_before(group, epoch), drawn_before(group, epoch + 1))
            for round_ in np.unique(places // len(own)).tolist():
                order = np.random.default_rng((seed, _OF_GROUPS, group, round_)).permutation(own)
                parts.append(order[places[places // len(own) == round_] % len(own)])
        return np.random.default_rng((seed, epoch)).permutation(np.concatenate(parts))

    return draw
