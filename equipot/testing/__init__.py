"""What every model must obey, as functions that any test suite can call, also for outside models.

``subject_of`` wraps a model; each of ``CONTRACTS`` takes the subject and raises an AssertionError
with a sentence where the model breaks it.
"""

from equipot.testing.contracts import CONTRACTS, check_config_round_trip, check_saving
from equipot.testing.equivariance import assert_equivariant, rotation_matrix, transform
from equipot.testing.subject import BUDGET, SPECIES_TABLE, Subject, random_params, subject_of
from equipot.testing.tolerances import F32, F64, F64_EXACT, FINITE_DIFFERENCE, assert_close

__all__ = [
    "BUDGET",
    "CONTRACTS",
    "F32",
    "F64",
    "F64_EXACT",
    "FINITE_DIFFERENCE",
    "SPECIES_TABLE",
    "Subject",
    "assert_close",
    "assert_equivariant",
    "check_config_round_trip",
    "check_saving",
    "random_params",
    "rotation_matrix",
    "subject_of",
    "transform",
]
