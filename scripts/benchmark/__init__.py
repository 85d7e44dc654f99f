"""Benchmarks of models and layers, beside other programs: ``python -m scripts.benchmark``."""
