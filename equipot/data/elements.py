"""Tables of the elements, indexed by atomic number."""

import numpy as np
from ase import data

COVALENT_RADII = np.asarray(data.covalent_radii, np.float64)
"""Covalent radius of each element in Å, [119]; a round value where none is measured (Z > 96).

Reference: Cordero et al. 2008, Dalton Transactions, 2832. DOI 10.1039/B801115J
"""
