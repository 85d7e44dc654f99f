"""The steps of a run that began on another number of devices, spread over those there are now.

Each step keeps its structures, whatever the devices: gradients are the same to rounding. A step of
several bins is dealt anew, the densest structures first, so that devices have equal work.
"""

import dataclasses

import numpy as np

from equipot.store import packing
from equipot.store.packing import Bin, Budget, Step


@dataclasses.dataclass(frozen=True)
class Spread:
    """How steps are spread, from the size table alone.

    Attributes:
      num_devices: Devices there are.
      begun: Devices that the run began on, each of which had one bin of a step.
      budget: Of a batch on one device.
      roomy: The budget of the few steps that cannot be dealt so evenly; often the same.
    """

    num_devices: int
    begun: int
    budget: Budget
    roomy: Budget

    @classmethod
    def plan(cls, sizes: np.ndarray, budget: Budget, begun: int, num_devices: int) -> "Spread":
        """Plans the budgets.

        With ``roomy`` a device holds whole bins, as few as it needs to; this always fits. Otherwise
        a device has its share of a step, and room for one structure more where sizes vary.

        Args:
          sizes: Nodes and edges, [structures, 2].
          budget: Of a batch on one of the devices that the run began on.
          begun: How many these were.
          num_devices: How many there are now.
        """
        whole = -(-begun // num_devices)
        roomy = _times(budget, whole)
        if begun % num_devices == 0:
            return cls(num_devices, begun, roomy, roomy)
        graphs = -(-begun * (budget.graphs - 1) // num_devices)
        largest = sizes.max(axis=0)
        if (sizes[:, 0] == largest[0]).all():
            even = packing.plan_sizes(np.tile(largest, (graphs, 1)), graphs)
        else:
            share = begun / num_devices
            nodes = int(np.ceil(share * (budget.nodes - 1))) + int(largest[0])
            edges = int(np.ceil(share * budget.edges)) + int(largest[1])
            even = Budget(packing.round_up(nodes) + 1, packing.round_up(edges), 2 * graphs + 1)
        pairs = zip(dataclasses.astuple(even), dataclasses.astuple(roomy), strict=True)
        return cls(num_devices, begun, Budget(*(min(own, most) for own, most in pairs)), roomy)

    def spread(self, step: Step, sizes: np.ndarray) -> Step:
        """One bin for each device there is, with the same structures.

        Args:
          step: One bin for each device that the run began on.
          sizes: Nodes and edges, [structures, 2].
        """
        dealt = packing.deal([i for b in step for i in b], sizes, self.budget, self.num_devices)
        if dealt is not None:
            return dealt
        whole = -(-self.begun // self.num_devices)
        merged = [
            tuple(i for b in step[first : first + whole] for i in b)
            for first in range(0, self.num_devices * whole, whole)
        ]
        return tuple(merged)

    def budget_of(self, step: Step, sizes: np.ndarray) -> Budget:
        """The budget that a step made by ``spread`` needs.

        Args:
          step: One bin for each device.
          sizes: Nodes and edges, [structures, 2].
        """
        fits = all(_fits(members, sizes, self.budget) for members in step)
        return self.budget if fits else self.roomy


def _times(budget: Budget, count: int) -> Budget:
    """Room for what so many batches hold; one node and one graph stay reserved."""
    graphs = count * (budget.graphs - 1) + 1
    return Budget(count * (budget.nodes - 1) + 1, count * budget.edges, graphs)


def _fits(members: Bin, sizes: np.ndarray, budget: Budget) -> bool:
    nodes, edges = sizes[list(members)].sum(axis=0)
    return budget.holds(nodes, edges, len(members))
