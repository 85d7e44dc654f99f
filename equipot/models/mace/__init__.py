"""MACE: its settings and its model; the other files are parts of that alone."""

from equipot.models.mace.config import Config
from equipot.models.mace.model import Model

__all__ = ["Config", "Model"]
