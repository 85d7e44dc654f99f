"""Structures and their labels: reading, splitting and auditing them, with NumPy and ASE alone.

Nothing is re-exported: ``equipot.data.config`` is read before every run and must not import ASE.
"""
