"""The wall: where it stands, how it ends, what the network sees, and every contract with it."""

import dataclasses
import itertools
import json
import zipfile

import ase
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import errors, testing
from equipot.data import distance_range
from equipot.data.elements import COVALENT_RADII
from equipot.data.structure import Structure
from equipot.models import registry
from equipot.potential import artefact, checks, evaluate, species, wall
from equipot.potential.potential import Potential
from equipot.potential.repulsion import ZBL
from equipot.potential.wall import Wall, WallSummand
from equipot.store import closest, graph_store
from tests.contracts import cases, toy

TABLE = (1, 6, 8)
NEAREST = 1.6  # Å
WALL = Wall(nearest=(1.3, 1.5, 1.6, 1.9, 2.1, 2.2), pushes=(3.0, 2.5, 9.0, 4.0, 2.0, 5.0))
H_AND_O = np.array([0, 2], np.int32)  # the third pair of the table


def of_a_pair(function):
    """A function of one pair of H and O as one of their distance, in float64."""

    def of_distance(r):
        ends = jnp.asarray([0], jnp.int32), jnp.asarray([1], jnp.int32)
        vectors = jnp.stack([0.0 * r, 0.6 * r, -0.8 * r])[None]
        return function(vectors, jnp.asarray(H_AND_O), *ends)

    return of_distance


@pytest.fixture(scope="module")
def energy():
    summand = of_a_pair(WallSummand(wall=WALL, cutoff=5.0).make_energy(TABLE))
    return lambda r: jnp.sum(summand(r))


@pytest.fixture(scope="module")
def length():
    clamp = of_a_pair(wall.make_clamp(WALL, len(TABLE)))
    return lambda r: jnp.linalg.norm(clamp(r)[0])


def derivatives(function, count):
    """The function and its derivatives at many distances: [order, distance]."""
    found = [function]
    for _ in range(count):
        found.append(jax.grad(found[-1]))
    together = jax.jit(jax.vmap(lambda r: jnp.stack([f(r) for f in found])))
    return lambda distances: np.asarray(together(np.asarray(distances))).T


@pytest.fixture(scope="module")
def subject():
    """The toy model; many pairs of the contracts are nearer than the wall's distances."""
    config = toy.Config()
    found = testing.subject_of(config, toy.Model(config=config), wall=WALL)
    return dataclasses.replace(found, optimize=False)


@pytest.mark.wide
@pytest.mark.parametrize("contract", testing.CONTRACTS)
def test_a_potential_with_a_wall_obeys(subject, contract):
    testing.CONTRACTS[contract](subject)


@pytest.fixture(scope="module", params=sorted(registry.available()))
def subject_with_wall(request):
    name = request.param
    return testing.subject_of(cases.shrunk(registry.config_class(name)()), name, wall=WALL)


@pytest.mark.slow
@pytest.mark.parametrize("contract", testing.CONTRACTS)
def test_every_model_with_a_wall_obeys(subject_with_wall, contract):
    testing.CONTRACTS[contract](subject_with_wall)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_in_the_data_reaches_the_network_to_the_last_bit(dtype):
    with jax.enable_x64(dtype == "float64"):
        rng = np.random.default_rng(0)
        vectors = rng.normal(size=(300, 3))
        vectors *= (2.3 + rng.random((300, 1))) / np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = jnp.asarray(vectors, dtype)
        ends = jnp.asarray(rng.integers(0, 30, (2, 300)), jnp.int32)
        kinds = jnp.asarray(rng.integers(0, 3, 30), jnp.int32)
        seen = jax.jit(wall.make_clamp(WALL, 3))(vectors, kinds, *ends)
        np.testing.assert_array_equal(np.asarray(seen), np.asarray(vectors))
        assert seen.dtype == dtype


def test_the_network_sees_no_distance_below_those_of_the_data(length):
    with jax.enable_x64(True):
        of_distance = derivatives(length, 1)
        found, slope = of_distance(np.linspace(0.01, 0.85, 20) * NEAREST)
        np.testing.assert_allclose(found, 0.9 * NEAREST, rtol=1e-12)
        np.testing.assert_allclose(slope, 0.0, atol=1e-12)
        between = of_distance(np.linspace(0.86, 0.94, 20) * NEAREST)[1]
        assert np.all(np.diff(between) > 0) and 0 < between[0] < between[-1] < 1


def test_what_the_network_sees_has_three_continuous_derivatives(length):
    with jax.enable_x64(True):
        ends = np.array([0.85, 0.95]) * NEAREST
        found = derivatives(length, 3)(np.concatenate([ends - 1e-7, ends + 1e-7]))
        np.testing.assert_allclose(found[:, :2], found[:, 2:], atol=1e-2)


def test_what_a_potential_has_is_named_as_the_setting_names_it():
    own = dataclasses.replace(WALL, **wall.FORMER)
    assert wall.name(None, None) == "none" and wall.name(ZBL(), None) == "zbl"
    assert wall.name(None, WALL) == "wall" and wall.name(None, own) == "fitted"


def test_former_walls_reach_into_the_data_and_let_the_network_see_it_all():
    own = dataclasses.replace(WALL, **wall.FORMER)
    length = of_a_pair(wall.make_clamp(own, len(TABLE)))
    energy = of_a_pair(WallSummand(wall=own, cutoff=5.0).make_energy(TABLE))
    with jax.enable_x64(True):
        r = np.array([0.8, 0.9, 0.999, 1.0, 1.1, 1.149, 1.15]) * NEAREST
        seen = derivatives(lambda r: jnp.linalg.norm(length(r)[0]), 0)(r)[0] / r
        np.testing.assert_allclose(seen[3:], 1.0, rtol=1e-12)
        assert seen[2] > 1.0 and seen[1] * 0.9 == pytest.approx(0.95)
        values = derivatives(lambda r: jnp.sum(energy(r)), 0)(r)[0]
        assert values[-1] == 0.0 and np.all(np.diff(values) < 0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_all_is_finite_where_atoms_coincide(dtype):
    with jax.enable_x64(dtype == "float64"):
        clamp = wall.make_clamp(WALL, len(TABLE))
        repulsion = WallSummand(wall=WALL, cutoff=5.0).make_energy(TABLE)
        ends = jnp.asarray([0], jnp.int32), jnp.asarray([1], jnp.int32)
        rest = jnp.asarray(H_AND_O), *ends

        def total(vectors):
            seen = jnp.sum(jnp.sin(clamp(vectors, *rest)))
            return seen + jnp.sum(repulsion(vectors, *rest))

        def squares(vectors):
            return jnp.sum(jax.grad(total)(vectors) ** 2)

        vectors = jnp.asarray([[[x] * 3] for x in (0.0, 1e-4, 1e-3, 0.1)], dtype)
        value, gradient = jax.jit(jax.vmap(jax.value_and_grad(squares)))(vectors)
        assert np.isfinite(value).all() and np.isfinite(gradient).all()


def test_the_wall_ends_with_three_derivatives_and_falls_everywhere(energy):
    with jax.enable_x64(True):
        end, outside = NEAREST, [NEAREST, NEAREST + 0.1, 4.0]
        near, inside = [end - 1e-3, end - 2e-3], np.linspace(0.002, end - 1e-3, 3000)
        value, slope = derivatives(energy, 1)(np.concatenate([outside, near, inside]))
        assert not np.any(value[:3])
        assert slope[4] / slope[3] == pytest.approx(8.0, rel=0.02)  # the third power
        assert np.all(slope[5:] < 0)


def test_the_wall_has_three_continuous_derivatives(energy):
    with jax.enable_x64(True):
        starts = np.array([0.4, 0.6, 1.0]) * NEAREST
        found = derivatives(energy, 3)(np.concatenate([starts - 1e-7, starts + 1e-7]))
        np.testing.assert_allclose(found[:, :3], found[:, 3:], rtol=1e-4, atol=2e-2)


def test_the_force_where_that_of_the_network_ends_is_the_push(energy):
    with jax.enable_x64(True):
        bare = derivatives(energy, 1)([0.85 * NEAREST])[1, 0]
        nuclei = dataclasses.replace(WALL, pushes=(1e-9,) * 6)
        summand = of_a_pair(WallSummand(wall=nuclei, cutoff=5.0).make_energy(TABLE))
        rest = derivatives(lambda r: jnp.sum(summand(r)), 1)([0.85 * NEAREST])[1, 0]
        assert rest - bare == pytest.approx(9.0, rel=1e-6)


def test_deep_inside_it_is_the_repulsion_of_nuclei(energy):
    with jax.enable_x64(True):
        zbl = ZBL()
        screening = zbl.inverse_lengths(np.array([1.0, 8.0])).sum()
        r = [0.005, 0.01, 0.02]

        def nuclei(r):
            return zbl.between(jnp.full(1, 8.0), jnp.full(1, screening), r[None])[0]

        expected, force = derivatives(nuclei, 1)(r)
        value, found = derivatives(energy, 1)(r)
        assert expected[0] > 1e4
        np.testing.assert_allclose(value, expected, rtol=0.02)  # there is a constant beside it
        np.testing.assert_allclose(found, force, rtol=1e-6)


def dimers(potential, distances):
    frames = [
        Structure(
            positions=np.array([[0.0, 0.0, 0.0], [0.0, 0.0, r]]),
            atomic_numbers=np.array([8, 8]),
            cell=np.zeros((3, 3)),
            pbc=np.zeros(3, bool),
        )
        for r in distances
    ]
    return np.array([p.energy for p in evaluate.evaluate(potential, frames, len(frames))])


def test_a_network_that_attracts_has_a_hole_without_the_wall_and_none_with_it(make_potential):
    plain = make_potential()
    distances = np.linspace(0.3, 2.2, 96)
    model = {"model": jax.tree.map(lambda x: -6.0 * x, plain.params["model"])}
    holed = dataclasses.replace(plain, params={**plain.params, **model})
    own = Wall(nearest=(0.8, 0.9, 2.1), pushes=(3.0, 9.0, 5.0))
    walled = dataclasses.replace(holed, spec=dataclasses.replace(holed.spec, wall=own))
    before, after = dimers(holed, distances), dimers(walled, distances)
    assert not np.all(np.diff(before) < 0)
    inside = distances < 0.85 * 2.1
    assert np.all(np.diff(after[inside]) < 0)
    assert after[0] - after[inside][-1] > 100.0


def labelled(frames, pair_force):
    """Structures of two atoms each, pushed apart by a given force."""
    return [
        Structure(
            positions=np.array([[0.0, 0.0, 0.0], [0.0, r, 0.0]]),
            atomic_numbers=np.array(numbers),
            cell=np.zeros((3, 3)),
            pbc=np.zeros(3, bool),
            energy=0.0,
            energy_weight=1.0,
            forces=np.array([[0.0, -pair_force(r), 0.0], [0.0, pair_force(r), 0.0]]),
            forces_weight=1.0,
        )
        for numbers, r in frames
    ]


def graphs_of(structures, table, cutoff=5.0):
    settings = graph_store.Settings(
        cutoff=cutoff, species_table=table, atomic_energies=np.zeros(len(table))
    )
    return graph_store.GraphStore.build(structures, settings)


def test_a_wall_stands_at_the_shortest_distances_as_steep_as_the_forces_there():
    def force(r):
        return 30.0 * np.exp(-r)

    frames = [((8, 1), 0.9), ((1, 8), 0.93), ((8, 1), 1.2), ((8, 8), 2.4), ((8, 8), 3.3)]
    found = closest.closest_pairs(graphs_of(labelled(frames, force), (1, 8)), 2)
    np.testing.assert_allclose(found.nearest, [[np.inf, 0.9], [0.9, 2.4]])
    pushes = [np.median([force(0.9), force(0.93)]), force(2.4)]
    np.testing.assert_allclose(found.pushes[[0, 1, 1], [1, 0, 1]], [*pushes[:1] * 2, pushes[1]])
    assert np.isnan(found.pushes[0, 0])
    own = wall.fitted(found, (1, 8), 5.0)
    # H–H never met: 0.85 bond lengths, and the usual force instead of its own.
    usual = np.sqrt(np.mean([force(r) ** 2 for _, r in frames]) / 3)
    np.testing.assert_allclose(own.nearest, [0.85 * 0.62, 0.9, 2.4])
    np.testing.assert_allclose(own.pushes, 2 * np.maximum([usual, *pushes], usual))


def test_a_wall_stands_where_the_range_of_distances_begins(lennard_jones):
    table = (18, 36)
    found = closest.closest_pairs(graphs_of(lennard_jones, table), 2)
    shortest = distance_range.measure(lennard_jones, 5.0).shortest
    own = {pair: found.nearest[*map(table.index, pair)] for pair in shortest}
    assert len(own) == 3
    assert own == pytest.approx(shortest, abs=1e-9)


def test_the_same_is_found_in_blocks(lennard_jones, monkeypatch):
    graphs = graphs_of(lennard_jones, (18, 36))
    whole = closest.closest_pairs(graphs, 2)
    monkeypatch.setattr(closest, "_BLOCK", 100)
    parts = closest.closest_pairs(graphs, 2)
    for field in dataclasses.fields(whole):
        np.testing.assert_array_equal(getattr(whole, field.name), getattr(parts, field.name))


def test_without_forces_or_pairs_there_is_a_wall_still():
    structures = [
        dataclasses.replace(s, forces_weight=0.0)
        for s in labelled([((8, 8), 2.0), ((8, 8), 4.9)], lambda r: 1.0)
    ]
    own = wall.fitted(closest.closest_pairs(graphs_of(structures, (8,)), 1), (8,), 5.0)
    assert own == Wall(nearest=(2.0,), pushes=(2.0,))
    every = tuple(range(1, 90))
    lonely = wall.unmet(every, 9.0)
    assert len(lonely.nearest) == 89 * 45
    radii = np.array([COVALENT_RADII[z] for z in every])
    matrix = wall.as_matrix(lonely.nearest, 89)
    np.testing.assert_allclose(matrix, 0.85 * np.add.outer(radii, radii))
    assert wall.unmet((55,), 3.5).nearest == (3.5,)  # and not 4.15 Å, beyond the cutoff


def test_pairs_that_met_far_apart_only_have_it_below_contact_and_within_the_cutoff():
    far = labelled([((8, 8), 4.6)], lambda r: 0.1)
    own = wall.fitted(closest.closest_pairs(graphs_of(far, (8,)), 1), (8,), 5.0)
    assert own.nearest == pytest.approx((2 * 0.66 + 1.1,))
    short = wall.fitted(closest.closest_pairs(graphs_of(far, (8,)), 1), (8,), 2.3)
    assert short.nearest == pytest.approx((2.3,))
    former = closest.closest_pairs(graphs_of(far, (8,)), 1)
    assert wall.fitted(former, (8,), 2.3, wall.FORMER).nearest == pytest.approx((2.0,))


def test_training_that_goes_on_lowers_a_wall_and_raises_none():
    before = Wall(nearest=(0.7, 0.9, 2.4), pushes=(3.0, 9.0, 5.0))
    frames = labelled([((8, 1), 0.95), ((8, 8), 1.9)], lambda r: 7.0)
    found = closest.closest_pairs(graphs_of(frames, (1, 8)), 2)
    after = wall.lowered(before, found, (1, 8), 5.0)
    assert after == Wall(nearest=(0.7, 0.9, 1.9), pushes=(3.0, 9.0, 14.0))
    assert wall.lowered(after, found, (1, 8), 5.0) == after


def test_pairs_with_a_new_element_have_the_wall_of_the_data():
    before = Wall(nearest=(1.2, 1.3, 0.7), pushes=(3.0, 9.0, 5.0))
    frames = labelled([((8, 1), 1.8), ((8, 8), 2.6)], lambda r: 7.0)
    found = closest.closest_pairs(graphs_of(frames, (1, 8)), 2)
    after = wall.lowered(before, found, (1, 8), 5.0, new=(8,))
    assert after.nearest[0] == 1.2 and after.pushes[0] == 3.0
    assert after.nearest[1:] == wall.fitted(found, (1, 8), 5.0).nearest[1:]
    assert after.nearest[2] == pytest.approx(2 * 0.66 + 1.1)


def test_a_wall_survives_the_artefact_and_must_fit_the_elements(make_potential, tmp_path):
    plain = make_potential()
    own = Wall(nearest=(0.8, 0.9, 2.1), pushes=(3.0, 9.0, 5.0))
    spec = dataclasses.replace(plain.spec, wall=own)
    saved = artefact.save(tmp_path / "wall.equipot", Potential(spec=spec, params=plain.params))
    assert artefact.load(saved).spec == spec
    short = Wall(nearest=(0.8, 0.9), pushes=(3.0, 9.0))
    with pytest.raises(errors.ArtefactError, match="wall: expected numbers for 3 pairs"):
        checks.check_spec(dataclasses.replace(spec, wall=short))
    with pytest.raises(errors.ConfigError, match="each of 3 pairs of 2 elements, received 2"):
        wall.make_clamp(short, 2)


def test_a_file_of_before_keeps_the_shape_of_its_wall(make_potential, tmp_path):
    plain = make_potential()
    own = Wall(nearest=(0.8, 0.9, 2.1), pushes=(3.0, 9.0, 5.0), **wall.FORMER)
    spec = dataclasses.replace(plain.spec, wall=own)
    saved = artefact.save(tmp_path / "wall.equipot", Potential(spec=spec, params=plain.params))
    with zipfile.ZipFile(saved) as before:
        parts = {name: before.read(name) for name in before.namelist()}
    described = json.loads(parts["potential.json"])
    del described["wall"]["seen"]
    parts["potential.json"] = json.dumps(described).encode()
    assert artefact._spec_from_parts(parts).wall == own


def test_new_elements_have_the_wall_of_those_that_never_met(make_potential):
    plain = make_potential()
    own = Wall(nearest=(0.8, 0.9, 2.1), pushes=(3.0, 9.0, 5.0))
    known = dataclasses.replace(plain, spec=dataclasses.replace(plain.spec, wall=own))
    changed = species.with_species(known, (1, 6, 8))[0].spec.wall
    assert changed is not None
    pairs = itertools.combinations_with_replacement(map(int, TABLE), 2)
    found = dict(zip(pairs, changed.nearest, strict=True))
    assert [found[pair] for pair in ((1, 1), (1, 8), (8, 8))] == [0.8, 0.9, 2.1]
    assert found[6, 8] == pytest.approx(0.85 * (0.76 + 0.66))
    fewer = species.with_species(known, (8,))[0].spec.wall
    assert fewer == Wall(nearest=(2.1,), pushes=(5.0,))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"pushes": (1.0,)}, "expected as many pushes as shortest distances, received 1 and 3"),
        ({"nearest": (1.0, 0.0, 2.0)}, "positive, received"),
        ({"fade": 1.0}, "expected a fade between 0 and 1"),
        ({"fade": 0.95}, r"the distances seen between it and 1.*received 0\.95, 0\.95 and 1\.0"),
        ({"reach": 0.9}, "a reach of at least 1"),
    ],
)
def test_impossible_walls_are_refused(settings, sentence):
    given = {"nearest": (1.0, 1.0, 2.0), "pushes": (1.0, 1.0, 1.0)} | settings
    with pytest.raises(errors.ConfigError, match=sentence):
        Wall(**given)


def test_atoms_of_a_gas_stay_apart():
    """Two hundred steps of steepest descent under the wall alone end above it, in a dense box."""
    own = Wall(nearest=(2.0,), pushes=(4.0,))
    atoms = ase.Atoms("O8", positions=np.random.default_rng(1).random((8, 3)) * 3.0)
    summand = WallSummand(wall=own, cutoff=5.0).make_energy((8,))
    senders, receivers = np.triu_indices(8, 1)
    ends = jnp.asarray(senders, jnp.int32), jnp.asarray(receivers, jnp.int32)

    def total(positions):
        vectors = positions[ends[1]] - positions[ends[0]]
        return jnp.sum(summand(vectors, jnp.zeros(8, jnp.int32), *ends))

    gradient = jax.jit(jax.grad(total))
    positions = jnp.asarray(atoms.positions, jnp.float32)
    for _ in range(200):
        step = gradient(positions)
        size = jnp.linalg.norm(step, axis=1, keepdims=True)
        positions -= step * jnp.minimum(0.02, 0.1 / (size + 1e-9))
    vectors = positions[ends[1]] - positions[ends[0]]
    assert np.linalg.norm(vectors, axis=1).min() > 0.98 * 2.0
