"""Dense random starts, relaxed and run hot: where a potential has a hole, some of them fall in.

A start has the composition and density of the data: whole molecules turned at random where the data
have molecules, else atoms at random; of single molecules, which have no density, the atoms are
shaken. No two atoms begin nearer than 0.8 of the shortest distance of training, so that what ends
nearer fell there.
"""

import dataclasses
import time
import warnings

import numpy as np
from ase import Atoms

from equipot import errors, pictures
from equipot.audit import fragments
from equipot.audit import samples as samples_
from equipot.audit.audited import Audited
from equipot.audit.conservation import to_atoms
from equipot.audit.samples import Samples
from equipot.audit.verdict import Verdict, judged, shown
from equipot.calculators import dynamics, relaxation
from equipot.data import distances, elements
from equipot.data.structure import Structure, symbol

SHARE = 0.8
"""Of the shortest trained distance of a pair: nearer is a hole."""

STARTS, STARTS_QUICK = 10, 3
PICOSECONDS, PICOSECONDS_QUICK = 10.0, 0.5
_RELAX = relaxation.RelaxationConfig(fmax=0.5, max_steps=150)
_LOOK_EVERY = 20  # steps
_TIMED = 20  # steps that the speed is taken from
_LIGHT, _HEAVY = 1.0, 2.0  # fs, with hydrogen and without
_SHAKEN = 0.4  # Å
_CAPTION = (
    "Of each start the nearest pair at its end, as a share of the shortest distance that training"
    f" had of the pair; below the dashed line, at {SHARE}, is a hole."
)
_BOND = 0.7  # covalent lengths; the shortest bonds are those of V2 and Cr2, 0.58 and 0.60
_NEVER_BONDED = 1.3  # covalent lengths from which the shortest distance shows that no bond is meant


class _HoleError(Exception):
    """Ends a run."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Course:
    """What became of one start.

    Attributes:
      nearest: Least distance of a pair over the shortest of training, by the end.
      relaxed: Whether that was so after the relaxation already.
      picoseconds: How long it ran.
      words: Which pair, or how it ended otherwise.
    """

    nearest: float
    relaxed: bool
    picoseconds: float
    words: str = ""


def check(
    audited: Audited, samples: Samples, *, temperature: float, quick: bool, seconds: float
) -> list[Verdict]:
    """One line: how many starts end in a hole.

    Args:
      audited: The potential.
      samples: The data.
      temperature: K, of the runs.
      quick: Whether fewer and shorter runs do.
      seconds: What all of them may take.
    """
    starts, kind = make_starts(samples, audited, STARTS_QUICK if quick else STARTS)
    calculator = audited.make_calculator(audited.dtype)
    length = PICOSECONDS_QUICK if quick else PICOSECONDS
    begun, courses = time.perf_counter(), []
    for i, start in enumerate(starts):
        left = (seconds - (time.perf_counter() - begun)) / (len(starts) - i)
        atoms = to_atoms(start, calculator)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", errors.OutOfRangeWarning)
            courses.append(_course(audited, atoms, temperature, length, left, seed=i))
    return [_judge(audited, samples, courses, kind, temperature, length)]


def make_starts(samples: Samples, audited: Audited, count: int) -> tuple[list[Structure], str]:
    """The starts, and what they are in words.

    Args:
      samples: The data.
      audited: The potential.
      count: How many.
    """
    rng, span, box = np.random.default_rng(2), audited.distance_range, samples.box
    if not samples.has_data:
        numbers = box.atomic_numbers
        return [samples_.dense_box(rng, numbers, span) for _ in range(count)], "atoms at random"
    parts = fragments.molecules(box)
    if not box.pbc.all():
        return [_shaken(rng, box, audited) for _ in range(count)], "the atoms of a frame shaken"
    if not parts or all(len(part.positions) == 1 for part in parts):
        some = [_scaled(rng, box) for _ in range(count)]
        made = [samples_.dense_box(rng, own, span, volume) for own, volume in some]
        return made, f"{len(made[0].positions)} atoms at random at the density of the data"
    chosen, volume = _some_molecules(parts, box)
    made = [fragments.random_box(rng, chosen, volume, span, SHARE) for _ in range(count)]
    return (
        made,
        f"{len(chosen)} molecule{'s' * (len(chosen) > 1)} at random at the density of the data",
    )


def _some_molecules(
    parts: list[fragments.Molecule], box: Structure
) -> tuple[list[fragments.Molecule], float]:
    """Molecules of about two dozen atoms, in the volume that they have in the frame."""
    chosen: list[fragments.Molecule] = []
    for part in parts:
        atoms = sum(len(own.positions) for own in chosen)
        if chosen and atoms + len(part.positions) > fragments.ATOMS:
            break
        chosen.append(part)
    share = sum(len(own.positions) for own in chosen) / len(box.positions)
    return chosen, share * box.volume


def _scaled(rng: np.random.Generator, box: Structure) -> tuple[np.ndarray, float]:
    """About two dozen elements of a frame in random order, and their share of its volume."""
    size = len(box.positions)
    count = (
        min(size, fragments.ATOMS)
        if size >= fragments.ATOMS
        else size * (-(-fragments.ATOMS // (2 * size)))
    )
    numbers = np.tile(box.atomic_numbers, -(-count // size))
    return rng.permutation(numbers)[:count], box.volume * count / size


def _shaken(rng: np.random.Generator, frame: Structure, audited: Audited) -> Structure:
    """All atoms moved at random, less far if two would come too close; not at all if two are."""
    if nearest(audited, frame)[0] < SHARE:
        return frame
    size = _SHAKEN
    while True:
        moved = frame.positions + rng.normal(scale=size, size=frame.positions.shape)
        made = dataclasses.replace(frame, positions=moved)
        if nearest(audited, made)[0] >= SHARE:
            return made
        size *= 0.97


def nearest(audited: Audited, structure: Structure) -> tuple[float, str]:
    """The least distance of a pair over the shortest of training, and the pair in words.

    Args:
      audited: The potential, which states the shortest.
      structure: The atoms.
    """
    found = distances.shortest_of_pairs(structure, distances.nearest(structure, audited.cutoff))
    shares = {pair: length / _shortest(audited, *pair) for pair, length in found.items()}
    if not shares:
        return np.inf, "no pair within the cutoff"
    pair = min(shares, key=lambda own: shares[own])
    names = "–".join(symbol(z) for z in pair)
    return shares[pair], f"{names} at {found[pair]:.2f} Å"


def _shortest(audited: Audited, first: int, second: int) -> float:
    """Of training; where that is not known, what no bond undercuts by a fifth."""
    span = audited.distance_range
    if span is not None and (min(first, second), max(first, second)) in span.shortest:
        return samples_.shortest(span, first, second)
    return _BOND * float(elements.COVALENT_RADII[first] + elements.COVALENT_RADII[second])


def _course(
    audited: Audited, atoms: Atoms, temperature: float, length: float, seconds: float, seed: int
) -> Course:
    timestep = _LIGHT if 1 in atoms.numbers else _HEAVY
    share, words, done = np.inf, "", 0
    begun = time.perf_counter()

    def look(step: int) -> None:
        nonlocal share, words, done
        done = step
        if step % _LOOK_EVERY == 0:
            share, words = nearest(audited, _structure(atoms))
            if share < SHARE:
                raise _HoleError

    def run(steps: int, drawn: int) -> None:
        config = dynamics.DynamicsConfig(
            ensemble="nvt",
            temperature=temperature,
            timestep=timestep,
            num_steps=steps,
            seed=drawn,
            log_every=steps,
        )
        dynamics.run_dynamics(atoms, config, progress=False, observe=look)

    try:
        relaxation.relax(atoms, _RELAX)
        share, words = nearest(audited, _structure(atoms))
        if share < SHARE:
            return Course(nearest=share, relaxed=True, picoseconds=0.0, words=words)
        timed = time.perf_counter()
        run(_TIMED, seed)
        per_step = (time.perf_counter() - timed) / _TIMED
        room = int((seconds - (time.perf_counter() - begun)) / per_step)
        steps = min(round(length * 1e3 / timestep), max(room, _TIMED)) - _TIMED
        if steps > 0:
            run(steps, seed + 1000)
        done = max(steps, 0) + _TIMED
    except _HoleError:
        pass
    except errors.EquipotError as error:
        share, words = 0.0, errors.brief(error)
    return Course(nearest=share, relaxed=False, picoseconds=done * timestep * 1e-3, words=words)


def _structure(atoms: Atoms) -> Structure:
    return Structure(
        positions=atoms.get_positions(),
        atomic_numbers=atoms.numbers,
        cell=np.asarray(atoms.cell),
        pbc=np.asarray(atoms.pbc),
        source="a random start",
    )


def _judge(
    audited: Audited,
    samples: Samples,
    courses: list[Course],
    kind: str,
    temperature: float,
    length: float,
) -> Verdict:
    fallen = [own for own in courses if not own.nearest >= SHARE]
    early = sum(own.relaxed for own in fallen)
    ran = max(own.picoseconds for own in courses)
    short = f" of {length:g} (what the time allowed)" if ran < 0.95 * length else ""
    told = "; ".join(sorted({own.words for own in fallen}))[:300]
    sentence = (
        f"{len(courses)} starts, {kind}, relaxed and run for up to {ran:.3g} ps{short} at"
        f" {temperature:.0f} K: {len(fallen)} end with two atoms nearer than {SHARE} of the"
        f" shortest distance of training"
    )
    sentence += f", {early} of them in the relaxation ({told})." if fallen else "."
    picture = _picture(courses)
    if not samples.has_data and (loose := _never_bonded(audited)):
        sentence += (
            f" Not judged: training had no bonds {loose}, which atoms at random may rightly form;"
            " give the data with --data, and whole molecules are taken."
        )
        count = float(len(fallen))
        return shown("random starts", sentence, value=count, picture=picture, caption=_CAPTION)
    count, unit = float(len(fallen)), f"of {len(courses)}"
    return judged("random starts", count, 0.0, unit, sentence, picture, _CAPTION)


def _never_bonded(audited: Audited) -> str:
    """Pairs of elements whose shortest distance in training is far longer than a bond."""
    span = audited.distance_range
    if span is None:
        return ""
    radii = elements.COVALENT_RADII
    return ", ".join(
        f"{symbol(a)}–{symbol(b)}"
        for (a, b), length in span.shortest.items()
        if length > _NEVER_BONDED * (radii[a] + radii[b])
    )


def _picture(courses: list[Course]) -> str:
    shares = [min(own.nearest, 1.5) for own in courses]
    colors = [pictures.COLORS[2 if own.nearest >= SHARE else 4] for own in courses]
    numbers = list(range(1, len(courses) + 1))
    with pictures.drawing("random starts", 1, 1, width=6.4) as picture:
        [axis] = picture.axes
        axis.bar(numbers, shares, color=colors, width=0.6)
        axis.axhline(SHARE, color=pictures.COLORS[4], linewidth=0.8, linestyle="--")
        axis.set_xticks(numbers)
        axis.set_xlabel("start")
        axis.set_ylabel("nearest pair, of the\nshortest in training")
    return picture.svg
