from tests.graph_fixtures import build, molecule_structures, molecules, water, water_structures

__all__ = ["build", "molecule_structures", "molecules", "water", "water_structures"]
