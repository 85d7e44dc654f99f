"""Pages of runs that were never run, and what a reader sees of a page."""

import dataclasses
import html.parser

import numpy as np

from equipot.potential.evaluate import HostPrediction
from equipot.quantities import DERIVED
from equipot.training import reports
from equipot.training.run_page.contents import Contents
from equipot.training.run_page.curves import Names

LINES = [
    {"step": 10, "loss": 2.0, "forces_rmse": 0.2, "stress_rmse": 0.02, "learning_rate": 0.01},
    {"step": 20, "loss": 1.0, "forces_rmse": 0.1, "stress_rmse": 0.01, "learning_rate": 0.02}
    | {"valid_loss": 0.5, "valid_forces_rmse": 0.123456, "valid_energy_rmse": 0.0025},
    {"step": 30, "loss": 0.9, "valid_loss": 0.6, "valid_forces_rmse": 0.2},
]


class Page(html.parser.HTMLParser):
    """A page taken apart: its words, its tables, its attributes and its pictures."""

    def __init__(self, text):
        super().__init__()
        self.words, self.tables, self.attributes, self.figures = [], [], [], []
        self.tags, self._open = [], []
        self.feed(text)
        assert not self._open, f"left open: {self._open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, key, value or "") for key, value in attrs]
        if tag not in ("meta", "br", "image", "use"):
            self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag == "figure":
            self.figures.append([])

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, key, value or "") for key, value in attrs]
        self.tags.append(tag)

    def handle_endtag(self, tag):
        if self._open and tag not in ("image", "use"):
            assert self._open.pop() == tag

    def handle_data(self, data):
        if "style" in self._open:
            return
        if data.strip():
            self.words.append(data.strip())
        if self._open and self._open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data
        if "figcaption" in self._open and self.figures and data.strip():
            self.figures[-1].append(data.strip())

    @property
    def text(self):
        return "\n".join(self.words)

    def table(self, *heads):
        """The rows of the table whose first heads these are."""
        [found] = [t for t in self.tables if tuple(t[0][: len(heads)]) == heads]
        return found[1:]


def predictions(structures, seed=0, others=None):
    """Errors of a different size for each structure."""
    rng = np.random.default_rng(seed)
    return [
        HostPrediction(
            energy=s.energy + 0.1 * rng.normal(),
            energies=np.zeros(len(s.positions)),
            forces=s.forces + rng.exponential(0.05) * rng.normal(size=s.forces.shape),
            stress=s.stress + 1e-3 * rng.normal(size=(3, 3)),
            has_stress=bool(s.pbc.all()),
            others=others(s, rng) if others else {},
        )
        for s in structures
    ]


def contents(evaluated, quantities=DERIVED, **more):
    """The contents of a page of splits and predictions."""
    known = {
        "name": "argon",
        "state": "Finished after 30 steps.",
        "facts": {"best step": "20"},
        "commands": ["equipot evaluate argon.equipot structures.xyz"],
        "quantities": quantities,
        "lines": LINES,
        "names": Names(),
        "best_step": 20,
        "settings": [("model.name", "mace", ""), ("seed", "3", "0")],
        "data": ["train: 20 frames"],
        "notes": ["Model mace"],
        "versions": {"jax": "0.10.1"},
        "evaluated": evaluated,
        "errors": {name: reports.split_errors(*own, quantities) for name, own in evaluated.items()},
    }
    return Contents(**{**known, **more})


def unlabelled(structures, *names):
    """The same structures without some labels, and without groups."""
    bare = {f"{name}_weight": 0.0 for name in names}
    return [dataclasses.replace(s, **bare) for s in structures]
