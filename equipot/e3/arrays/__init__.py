"""Irreps, and arrays that know how they transform."""
