"""Rotations, their representations, and the spherical harmonics."""
