"""Published potentials by name: what is known of each, and where a fetched one lies.

``known.yaml`` is the table. A name stands for the file that ``equipot download`` has written,
wherever a potential is read: ``EquipotCalculator("nequix-mp-1")``, ``init_from=nequix-mp-1``.
"""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path

from equipot import errors
from equipot.data import paths

SUFFIX = ".equipot"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of a published potential.

    Attributes:
      name: By which it is asked for.
      license: Of the file.
      theory: Level of theory of its labels.
      elements: Which it knows, in words.
      reference: Where it is described.
      checked: What was compared with the program that wrote it.
      sha256: Checksum of the file; None where none was at hand.
      address: Where the file is fetched from, or else:
      package: Name and version of a package for pip,
      member: and the file inside its wheel.
    """

    name: str
    license: str
    theory: str
    elements: str
    reference: str
    checked: str
    sha256: str | None
    address: str | None = None
    package: str | None = None
    member: str | None = None

    @property
    def source(self) -> str:
        """Where it comes from, in words."""
        return self.address or f"{self.member} of the package {self.package}"

    @property
    def original(self) -> Path:
        """Where the file itself is put, or may be put by hand."""
        end = Path(str(self.address or self.member)).suffix
        return folder() / f"{self.name}{end}"

    @property
    def path(self) -> Path:
        """Where the potential lies once it is fetched."""
        return folder() / f"{self.name}{SUFFIX}"


def folder() -> Path:
    """The folder of fetched potentials, in the cache."""
    return paths.cache_folder() / "potentials"


@functools.cache
def table() -> Mapping[str, Known]:
    """All known potentials by name."""
    import yaml  # not needed by who has a file

    rows = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
    return {name: Known(name=name, **row) for name, row in rows.items()}


def find(name: str) -> Known:
    """A potential of a name.

    Raises:
      ConfigError: If there is none.
    """
    if name not in table():
        raise errors.ConfigError(
            f"{name}: no such published potential is known."
            f"{errors.did_you_mean(name, table())} Known: {', '.join(table())}"
        )
    return table()[name]


def resolve(name: str | Path) -> Path:
    """The file of a potential, given by its path or by the name of a fetched one.

    Raises:
      ArtefactError: If it is the name of one that was not fetched yet.
    """
    path = Path(name).expanduser()
    if path.suffix == SUFFIX or len(path.parts) > 1 or path.exists() or str(name) not in table():
        return path
    known = table()[str(name)]
    if not known.path.is_file():
        raise errors.ArtefactError(
            f"{name}: this published potential is not here yet; fetch it with: equipot download"
            f" {name}"
        )
    return known.path
