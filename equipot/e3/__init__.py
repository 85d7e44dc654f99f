"""Representations of O(3), and functions and layers that commute with rotations and inversion."""
