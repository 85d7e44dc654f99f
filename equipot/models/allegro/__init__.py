"""Allegro: its settings and its model; the other files are parts of that alone."""

from equipot.models.allegro.config import Config
from equipot.models.allegro.model import Model

__all__ = ["Config", "Model"]
