"""Drivers of a potential: ASE, and what other programs need."""
