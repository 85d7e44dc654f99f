"""One step in time, without the forces: what happens to positions, velocities and cells.

A step is the sequence B A O A B: half a kick by the forces, half a drift, the heat bath, the other
half of the drift, and, with the forces where the atoms then are, half a kick. Without a bath that
is the velocity Verlet method; with Langevin's it is BAOAB, and with Bussi's the velocities are
rescaled together. A barostat rescales the cell in the middle of the drift. Times are in Å
sqrt(amu/eV), as in ASE.

References: Leimkuhler and Matthews 2013, Appl. Math. Res. Express 2013(1), 34 (BAOAB). Bussi,
Donadio and Parrinello 2007, J. Chem. Phys. 126, 014101, appendix A. Bernetti and Bussi 2020, J.
Chem. Phys. 153, 114107, in the variable sqrt(V), whose noise is constant.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from ase import units

from equipot.md.forces import volumes_of
from equipot.md.systems import Systems
from equipot.typing import AnyArray, Array, Float

_MOST = 0.05  # change of the square root of the volume by the pressure in a step


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ensemble:
    """What is kept constant, and how.

    Attributes:
      timestep: Å sqrt(amu/eV).
      bath: "none", "langevin" or "bussi".
      friction: Of Langevin's bath, in the inverse of that unit.
      relaxation: Time in which Bussi's bath relaxes the kinetic energy.
      pressure: eV/Å³; None leaves the cell alone.
      pressure_relaxation: Time in which the barostat relaxes the volume.
      compressibility: Å³/eV, roughly that of the system: it only enters the rate of the barostat.
    """

    timestep: float
    bath: Literal["none", "langevin", "bussi"] = "none"
    friction: float = 0.0
    relaxation: float = 1.0
    pressure: float | None = None
    pressure_relaxation: float = 1.0
    compressibility: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Motion:
    """Where atoms are and how they move.

    Attributes:
      positions: Å.
      velocities: sqrt(eV/amu).
      cells: Å.
    """

    positions: Float[AnyArray, "systems atoms 3"]
    velocities: Float[AnyArray, "systems atoms 3"]
    cells: Float[AnyArray, "systems 3 3"]


def kick(
    ensemble: Ensemble,
    systems: Systems,
    velocities: Float[AnyArray, "systems atoms 3"],
    forces: Float[AnyArray, "systems atoms 3"],
) -> Float[Array, "systems atoms 3"]:
    """Velocities after the forces have acted for half a step."""
    pushed = velocities + 0.5 * ensemble.timestep * forces / systems.masses[..., None]
    return jnp.where(systems.movable[..., None], pushed, 0.0)


def drift(
    ensemble: Ensemble,
    systems: Systems,
    motion: Motion,
    virials: Float[AnyArray, "systems 3 3"],
    key: Array,
) -> Motion:
    """Both halves of the drift, with the heat bath and the barostat between them.

    Args:
      ensemble: What is kept constant.
      systems: What does not change.
      motion: After the kick.
      virials: Σ r ⊗ ∂E/∂r where the atoms are, eV.
      key: Of this step.
    """
    half = 0.5 * ensemble.timestep
    positions = motion.positions + half * motion.velocities
    keys = jax.vmap(lambda stream: jax.random.fold_in(key, stream))(systems.stream)
    velocities = _bath(ensemble, systems, motion.velocities, keys)
    cells = motion.cells
    if ensemble.pressure is not None:
        factors = _factors(ensemble, systems, velocities, cells, virials, ensemble.pressure, keys)
        factors = factors[:, None, None]
        positions, cells, velocities = positions * factors, cells * factors, velocities / factors
    return Motion(positions=positions + half * velocities, velocities=velocities, cells=cells)


def kinetic_energies(
    systems: Systems, velocities: Float[AnyArray, "systems atoms 3"]
) -> Float[Array, " systems"]:
    """Of each system, eV."""
    return 0.5 * jnp.sum(systems.masses[..., None] * velocities**2, axis=(1, 2))


def _bath(ensemble: Ensemble, systems: Systems, velocities: AnyArray, keys: Array) -> AnyArray:
    if ensemble.bath == "none":
        return velocities
    thermal = units.kB * systems.temperature
    if ensemble.bath == "langevin":
        kept = jnp.exp(jnp.asarray(-ensemble.friction * ensemble.timestep, velocities.dtype))
        noise = _normals(keys, 0, velocities.shape[1:], velocities.dtype)
        width = jnp.sqrt((1.0 - kept**2) * thermal[:, None, None] / systems.masses[..., None])
        return jnp.where(systems.movable[..., None], kept * velocities + width * noise, 0.0)
    return velocities * _bussi(ensemble, systems, velocities, keys)[:, None, None]


def _bussi(ensemble: Ensemble, systems: Systems, velocities: AnyArray, keys: Array) -> Array:
    """What the velocities are multiplied with: eq. (A7) there, with its sign."""
    dtype = velocities.dtype
    kept = jnp.exp(jnp.asarray(-ensemble.timestep / ensemble.relaxation, dtype))
    freedom = systems.freedom
    kinetic = kinetic_energies(systems, velocities)
    ratio = 0.5 * units.kB * systems.temperature / jnp.where(kinetic > 0, kinetic, 1.0)
    first = _normals(keys, 0, (), dtype)
    others = 0.5 * jnp.maximum(freedom - 1.0, 1.0)
    rest = jax.vmap(lambda k, a: 2.0 * jax.random.gamma(jax.random.fold_in(k, 1), a, dtype=dtype))
    squares = first**2 + jnp.where(freedom > 1.0, rest(keys, others), 0.0)
    fresh = ratio * (1.0 - kept)
    squared = kept + fresh * squares + 2.0 * first * jnp.sqrt(kept * fresh)
    sign = jnp.where(first + jnp.sqrt(kept / jnp.maximum(fresh, 1e-300)) < 0, -1.0, 1.0)
    return jnp.where((kinetic > 0) & (freedom > 0), sign * jnp.sqrt(jnp.maximum(squared, 0)), 1.0)


def _factors(
    ensemble: Ensemble,
    systems: Systems,
    velocities: AnyArray,
    cells: AnyArray,
    virials: AnyArray,
    pressure: float,
    keys: Array,
) -> Array:
    """What lengths are multiplied with in this step.

    With λ = sqrt(V) and D = kT κ / 4 τ,

        dλ = D [1/λ + 2 λ (P − P0) / kT] dt + sqrt(2 D) dW,   P = (2 K − tr W) / 3 V

    and the first term changes λ by at most a twentieth in a step, however far the pressure is from
    P0. The noise is left alone: cut, it would make the volumes of small systems too alike.
    """
    thermal = units.kB * systems.temperature
    volumes = volumes_of(cells)
    traces = jnp.trace(virials, axis1=1, axis2=2)
    kinetic = kinetic_energies(systems, velocities)
    excess = (2.0 * kinetic - traces) / (3.0 * volumes) - pressure
    rate = ensemble.compressibility / (4.0 * ensemble.pressure_relaxation)
    root = jnp.sqrt(volumes)
    push = rate * (thermal / root + 2.0 * root * excess) * ensemble.timestep
    push = jnp.clip(push, -_MOST * root, _MOST * root)
    noise = _normals(keys, 2, (), velocities.dtype)
    new = root + push + jnp.sqrt(2.0 * rate * thermal * ensemble.timestep) * noise
    return jnp.cbrt(jnp.maximum(new / root, 0.5) ** 2)


def _normals(keys: Array, purpose: int, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
    """Gaussian numbers of each system; an atom's do not depend on how many follow it."""

    def of_one(key: Array) -> Array:
        return jax.random.normal(jax.random.fold_in(key, purpose), shape, dtype)

    return jax.vmap(of_one)(keys)
