"""Programs that are run by hand, as in ``python -m scripts.benchmark``."""
