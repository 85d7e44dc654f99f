"""The ASE calculator of a potential, and the dynamics and relaxations that ASE drives."""
