"""Nequix (``.nqx``): a line of JSON, then arrays one after another, as ``numpy.save`` writes them.

The model is NequIP with irreps of natural parity, a self-connection common to all species, and a
norm before the gate. Its first features are ones and zeros that say the species, which is an
embedding by the unit matrix here. Its norm weighs the mean square of an irrep by its channels over
its components, ours weighs all alike: what differs is taken up by the matrices before the norm.

Reference: Koker, Kotak and Smidt 2025. arXiv:2508.16067
"""

import io
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from equipot import errors
from equipot.convert import parameters
from equipot.convert.foundation import layers
from equipot.data.formats import npy
from equipot.data.structure import chemical_symbols
from equipot.e3.arrays.irreps import Irrep, Irreps
from equipot.e3.kernels import convolution
from equipot.models import nequip as model
from equipot.potential.potential import Potential, PotentialSpec

_MAX_HEADER = 2**20  # bytes
_SILU = 1.6765648  # e3nn-jax's, a sum over a million points in float32; it stands in no file
_NUMBERS = {  # settings that must be there, and their kind
    "cutoff": float,
    "lmax": int,
    "n_layers": int,
    "radial_basis_size": int,
    "radial_mlp_size": int,
    "radial_mlp_layers": int,
    "radial_polynomial_p": int,
    "scale": float,
    "shift": float,
    "avg_n_neighbors": float,
}


def read(path: Path) -> Potential:
    """The potential in a file, in float64.

    Args:
      path: A ``.nqx`` file; nothing in it is run.

    Raises:
      ConversionError: If it is damaged, or of another architecture.
    """
    with path.open("rb") as file:
        header = _header(file.readline(_MAX_HEADER), path)
        arrays = _Arrays(_arrays(file.read(), path), path)
    table = _species_table(header, path)
    config = _config(header, path)
    average = float(header["avg_n_neighbors"])
    energies = arrays.next("atom_energies", (len(table),))
    params = parameters.zeros(model.Model, config, len(table), average)
    params["embedding"][...] = np.eye(len(table))
    basis_ratio = 2.0 / config.cutoff / math.sqrt(2.0 / config.cutoff)
    scale = 1.0
    for i in range(config.num_layers):
        layer = _layer(arrays, config, i, average, len(table))
        layers.fill(
            params[f"interaction_{i}"],
            layer,
            scale=scale,
            basis_ratio=basis_ratio,
            avg_num_neighbors=average,
        )
        scale = _SILU / parameters.silu_constant()
    readout = arrays.next("readout", (config.widths[0], 1)) * scale
    layers.put(params["readout"], "0e", readout, "readout")
    arrays.expect_end()
    spec = PotentialSpec(
        model_name="nequip",
        model_config=config,
        species_table=table,
        atomic_energies=tuple((energies + header["shift"]).tolist()),
        avg_num_neighbors=average,
        dtype="float64",
    )
    scales = np.full(len(table), float(header["scale"]))
    return Potential(
        spec=spec, params={"model": params, "scale": scales, "shift": np.zeros(len(table))}
    )


def _header(line: bytes, path: Path) -> Mapping[str, Any]:
    try:
        header = json.loads(line)
    except ValueError as error:
        raise errors.ConversionError(
            f"{path}: expected a file of Nequix, which begins with a line of JSON"
            f" ({errors.brief(error)})"
        ) from error
    for name, kind in _NUMBERS.items():
        value = header.get(name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or value != kind(value):
            raise errors.ConversionError(
                f"{path}: expected a {'whole ' * (kind is int)}number for {name} in its first line,"
                f" received {value!r}; is it"
                " a file of another version of Nequix?"
            )
    return header


def _config(header: Mapping[str, Any], path: Path) -> model.Config:
    """Settings of our model."""
    if header.get("index_weights", False):
        raise errors.ConversionError(
            f"{path}: has self-connections of each species (index_weights), which are read of no"
            " published model; expected index_weights false"
        )
    try:
        irreps = {item.ir: item.mul for item in Irreps(header.get("hidden_irreps", ""))}
    except ValueError as error:
        raise errors.ConversionError(
            f"{path}: expected irreps in hidden_irreps ({errors.brief(error)})"
        ) from error
    lmax = max((irrep.l for irrep in irreps), default=0)
    natural = [Irrep(l, (-1) ** l) for l in range(lmax + 1)]
    if list(irreps) != natural or lmax != header["lmax"]:
        raise errors.ConversionError(
            f"{path}: expected features {'+'.join(map(str, natural))} and harmonics up to the same"
            f" degree, received {header['hidden_irreps']} and lmax {header['lmax']}"
        )
    widths = tuple(irreps.values())
    return model.Config(
        cutoff=float(header["cutoff"]),
        num_layers=int(header["n_layers"]),
        lmax=lmax,
        num_channels=widths[0] if len(set(widths)) == 1 else widths,
        num_radial_basis=int(header["radial_basis_size"]),
        polynomial_cutoff=int(header["radial_polynomial_p"]),
        radial_widths=(int(header["radial_mlp_size"]),) * int(header["radial_mlp_layers"]),
        embedding_channels=len(header["atomic_numbers"]),
        self_connection="common",
        norm="rms" if header.get("layer_norm", False) else "none",
    )


def _species_table(header: Mapping[str, Any], path: Path) -> tuple[int, ...]:
    table = header.get("atomic_numbers")
    ascending = isinstance(table, list) and table == sorted(set(table))
    if not ascending or not table or not 0 < table[0] <= table[-1] < len(chemical_symbols):
        raise errors.ConversionError(
            f"{path}: expected ascending atomic numbers in its first line, received {table!r:.80}"
        )
    return tuple(table)


def _layer(
    arrays: "_Arrays", config: model.Config, index: int, average: float, species: int
) -> layers.Layer:
    """The next layer: radial network, linear maps before and after the sum, skip, norm."""
    place = f"layer {index}"
    entering = {layers.SCALAR: species} if index == 0 else config.irreps
    last = index == config.num_layers - 1
    leaving = {layers.SCALAR: config.widths[0]} if last else config.irreps
    gates = sum(width for irrep, width in leaving.items() if irrep.l > 0)
    before = {**leaving, layers.SCALAR: config.widths[0] + gates}
    harmonics = [Irrep(l, (-1) ** l) for l in range(config.lmax + 1)]
    couplings = convolution.paths(tuple(entering), harmonics, tuple(before))
    by_output = sorted(couplings, key=lambda path: path.out.l)  # stable
    widths = [config.num_radial_basis, *config.radial_widths]
    widths.append(sum(entering[path.node] for path in by_output))
    radial = [
        arrays.next(f"{place}, radial network", shape) for shape in itertools.pairwise(widths)
    ]
    up = {
        irrep: arrays.next(f"{place}, linear_1", (n, n)) / math.sqrt(n)
        for irrep, n in entering.items()
    }
    down, paths = {}, {}
    for irrep, width in before.items():
        paths[irrep] = [path for path in by_output if path.out == irrep]
        rows = sum(entering[path.node] for path in paths[irrep])
        down[irrep] = arrays.next(f"{place}, linear_2", (rows, width)) / math.sqrt(rows * average)
    skip = {
        irrep: arrays.next(f"{place}, skip", (entering[irrep], width)) / math.sqrt(entering[irrep])
        for irrep, width in before.items()
        if irrep in entering
    }
    norm = {}
    shares = dict.fromkeys(before, 1.0)
    if config.norm == "rms":
        shares = {irrep: math.sqrt(width / irrep.dim) for irrep, width in before.items()}
        norm = {
            irrep: arrays.next(f"{place}, norm", (width,)) / shares[irrep]
            for irrep, width in before.items()
        }
    return layers.Layer(
        place=place,
        linear_up=up,
        radial=radial,
        paths=[
            (path, matrix * shares[irrep])
            for irrep in before
            for path, matrix in _blocks(paths[irrep], down[irrep], entering)
        ],
        self_connection={irrep: matrix * shares[irrep] for irrep, matrix in skip.items()},
        norm=norm,
    )


def _blocks(
    paths: list[convolution.Path], matrix: np.ndarray, entering: Mapping[Irrep, int]
) -> Iterator[tuple[convolution.Path, np.ndarray]]:
    """The rows of each path; displacements point from receiver to sender, odd harmonics turn."""
    start = 0
    for path in paths:
        rows = entering[path.node]
        yield path, matrix[start : start + rows] * (-1) ** path.edge.l
        start += rows


def _arrays(stream: bytes, path: Path) -> Iterator[np.ndarray]:
    """The arrays of a stream but single numbers, which some versions wrote in between."""
    data = io.BytesIO(stream)
    while True:
        start = data.tell()
        if not data.read(16).strip():
            return
        data.seek(start)
        where = f"{path}, byte {start} of its arrays"
        try:
            array = npy.read(data, len(stream), where, alone=False)
        except errors.DataError as error:
            said = str(error).replace(npy.AGAIN, "fetch it again")
            raise errors.ConversionError(said) from error
        if array is None:
            raise errors.ConversionError(f"{where}: expected numbers, found objects of Python")
        if array.ndim:
            yield array


class _Arrays:
    """The arrays of a file, each asked for by its shape."""

    def __init__(self, arrays: Iterator[np.ndarray], path: Path) -> None:
        self._arrays, self._path = arrays, path

    def next(self, place: str, shape: tuple[int, ...]) -> np.ndarray:
        """The next one, in float64.

        Raises:
          ConversionError: If there is none, or it has another shape, or is not of finite numbers.
        """
        return parameters.numbers(next(self._arrays, None), shape, f"{self._path}, {place}")

    def expect_end(self) -> None:
        """Refuses arrays that nothing has asked for."""
        if (found := next(self._arrays, None)) is not None:
            raise errors.ConversionError(
                f"{self._path}: expected no array after the readout, received one of shape"
                f" {found.shape}; is it a file of another architecture?"
            )
