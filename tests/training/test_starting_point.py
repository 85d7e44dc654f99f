"""A run may start from a saved potential, whose numbers it then keeps."""

import dataclasses

import jax
import numpy as np
import pytest

from equipot import errors
from equipot.potential import artefact, evaluate
from equipot.potential.potential import Potential
from equipot.potential.wall import Wall
from equipot.store.graph_store import GraphStore
from equipot.training import config, preparation, starting_point
from equipot.training.folder import RunFolder
from tests.docs_blocks import ROOT
from tests.training.datasets import made_of

MODEL = {"name": "nequip", "cutoff": 4.5, "num_layers": 1, "lmax": 1, "num_channels": 2}


def settings(**changes):
    mapping = {"data": {"train": "not read here"}, "model": {"name": "nequip"}, **changes}
    return config.train_config(mapping)


@pytest.fixture(scope="module")
def frames(lennard_jones):
    return made_of(lennard_jones[:6], lennard_jones[6:8])


@pytest.fixture(scope="module")
def saved(frames, tmp_path_factory):
    parts = preparation.prepare(settings(model=MODEL, seed=3), frames, 1)
    potential = Potential(spec=parts.spec, params=jax.device_get(parts.params))
    return artefact.save(tmp_path_factory.mktemp("saved") / "first.equipot", potential), parts


def test_model_parameters_and_references_are_those_of_the_file(saved, frames):
    path, first = saved
    again = preparation.prepare(settings(init_from=str(path)), frames, 1)
    assert again.spec == first.spec
    jax.tree.map(np.testing.assert_array_equal, again.params, first.params)
    assert again.facts["init_from"] and first.facts["init_from"] is None
    assert any("Training starts from" in note for note in again.notes)


def test_precision_is_that_of_the_run(saved, frames):
    config_ = settings(init_from=str(saved[0]), potential={"dtype": "float64"})
    begun = starting_point.find(config_, frames)
    leaves = jax.tree.leaves(begun.potential.params)
    assert begun.potential.spec.dtype == "float64" and all(x.dtype == "float64" for x in leaves)


def test_least_squares_adds_what_explains_the_errors(saved, frames, monkeypatch):
    """Labels that are the potential's own energies plus one number for each element."""
    path, first = saved
    offsets = {18: 0.7, 36: -2.5}
    found = evaluate.evaluate(artefact.load(path), frames.train)
    labelled = [
        dataclasses.replace(s, energy=p.energy + sum(offsets[int(z)] for z in s.atomic_numbers))
        for s, p in zip(frames.train, found, strict=True)
    ]
    chosen = settings(init_from=str(path), potential={"reference_energies": "least_squares"})
    built, build = [], GraphStore.build
    monkeypatch.setattr(GraphStore, "build", lambda s, t: built.append(len(s)) or build(s, t))
    parts = preparation.prepare(chosen, made_of(labelled, frames.valid), 1)
    assert built.count(6) == 1  # neighbors of the training split are searched for once
    begun = starting_point.find(chosen, made_of(labelled, frames.valid))
    for own, structure in zip(parts.graphs["train"], labelled, strict=True):
        references = begun.references.atomic_energies[own.species].sum()
        np.testing.assert_allclose(own.labels["energy"].value, structure.energy - references)
    added = begun.references.atomic_energies - np.asarray(first.spec.atomic_energies)
    compositions = {tuple(sorted(s.atomic_numbers)) for s in frames.train}
    for numbers in compositions:
        expected = sum(offsets[int(z)] for z in numbers)
        counts = [sum(z == number for z in numbers) for number in first.spec.species_table]
        np.testing.assert_allclose(np.dot(added, counts), expected, atol=1e-5)


def test_given_references_leave_the_rest_to_the_shift(saved, frames):
    """Labels are the potential's own energies, so only the zero of each element's energy moves."""
    path, first = saved
    found = evaluate.evaluate(artefact.load(path), frames.train)
    labelled = [
        dataclasses.replace(s, energy=p.energy) for s, p in zip(frames.train, found, strict=True)
    ]
    given = {"reference_energies": {"Ar": -1.0, "Kr": 2.0}}
    begun = starting_point.find(
        settings(init_from=str(path), potential=given), made_of(labelled, frames.valid)
    )
    np.testing.assert_allclose(begun.references.atomic_energies, [-1.0, 2.0])
    expected = np.asarray(first.spec.atomic_energies) - [-1.0, 2.0]
    for shift in (begun.references.shift, begun.potential.params["shift"]):
        np.testing.assert_allclose(shift - np.asarray(first.params["shift"]), expected, atol=1e-4)
    notes = " ".join(begun.references.notes)
    assert "Mean binding energies" in notes and "Unit of the model" not in notes


def test_elements_that_training_lacks_need_no_reference(saved, frames):
    path, first = saved
    argon = [
        dataclasses.replace(s, atomic_numbers=np.full(len(s.atomic_numbers), 18))
        for s in frames.train
    ]
    chosen = settings(init_from=str(path), potential={"reference_energies": {"Ar": -1.0}})
    begun = starting_point.find(chosen, made_of(argon, frames.valid))
    krypton = first.spec.atomic_energies[1]
    np.testing.assert_allclose(begun.references.atomic_energies, [-1.0, krypton])


def test_the_share_among_elements_that_data_leave_open_is_told(saved, frames):
    pure = [dataclasses.replace(s, atomic_numbers=np.array([18, 18, 36, 36])) for s in frames.train]
    chosen = settings(init_from=str(saved[0]), potential={"reference_energies": "least_squares"})
    begun = starting_point.find(chosen, made_of(pure, frames.valid))
    assert any("rank 1 for 2 elements" in note for note in begun.references.notes)


def test_a_setting_that_is_not_the_files_is_refused(saved, frames):
    other = settings(init_from=str(saved[0]), model={"name": "nequip", "num_layers": 2})
    with pytest.raises(
        errors.ConfigError, match=r"model\.num_layers: init_from=.* has 1, received"
    ):
        starting_point.find(other, frames)


@pytest.mark.wide
def test_a_new_element_begins_as_the_most_similar_one(saved, frames):
    """Xenon as krypton, and what it is bound by is fitted."""
    path, first = saved
    krypton = [np.where(s.atomic_numbers == 36, 54, s.atomic_numbers) for s in frames.train]
    xenon = [
        dataclasses.replace(s, atomic_numbers=z) for s, z in zip(frames.train, krypton, strict=True)
    ]
    begun = starting_point.find(settings(init_from=str(path)), made_of(xenon, frames.valid))
    assert begun.species_table == (18, 36, 54)
    notes = " ".join(begun.references.notes)
    assert "Xe is new to it and begins as Kr" in notes and "fitted by least squares" in notes
    embedding = begun.potential.params["model"]["embedding"]
    np.testing.assert_array_equal(embedding[2], embedding[1])
    np.testing.assert_array_equal(embedding[:2], first.params["model"]["embedding"])
    known = evaluate.evaluate(artefact.load(path), frames.valid)
    again = evaluate.evaluate(begun.potential, frames.valid)
    for a, b in zip(known, again, strict=True):
        np.testing.assert_allclose(a.forces, b.forces, rtol=1e-5, atol=1e-6)


def test_the_potential_may_be_cut_to_the_elements_of_the_data(saved, frames):
    path = saved[0]
    argon = [
        dataclasses.replace(s, atomic_numbers=np.full(len(s.atomic_numbers), 18))
        for s in frames.train
    ]
    all_of_it = starting_point.find(settings(init_from=str(path)), made_of(argon, argon))
    assert all_of_it.species_table == (18, 36)
    chosen = settings(init_from=str(path), init_elements="data")
    cut = starting_point.find(chosen, made_of(argon, argon))
    assert cut.species_table == (18,)
    assert any("elements of the training split, Ar, and loses 1" in n for n in cut.references.notes)
    whole, less = (evaluate.evaluate(p, argon) for p in (artefact.load(path), cut.potential))
    for a, b in zip(whole, less, strict=True):
        assert a.energy == pytest.approx(b.energy, abs=1e-5)
        np.testing.assert_allclose(a.forces, b.forces, rtol=1e-5, atol=1e-6)


def test_labels_far_from_the_reference_energies_are_refused(saved, frames):
    far = [
        dataclasses.replace(s, energy=s.energy - 100.0 * len(s.atomic_numbers))
        for s in frames.train
    ]
    given = made_of(far, frames.valid)
    with pytest.raises(errors.DataError, match=r"by -100\.\d eV per atom .*=least_squares"):
        starting_point.find(settings(init_from=str(saved[0])), given)
    fitted = settings(init_from=str(saved[0]), potential={"reference_energies": "least_squares"})
    assert starting_point.find(fitted, given).potential is not None


def test_a_model_that_nobody_chose_is_that_of_the_file(saved, frames):
    path = str(saved[0])
    begun = starting_point.find(settings(init_from=path, model={"name": "mace"}), frames)
    assert begun.model_name == "nequip"
    assert any("that of the potential, nequip, not mace" in note for note in begun.references.notes)
    chosen = settings(init_from=path, model={"name": "mace", "lmax": 1})
    with pytest.raises(errors.ConfigError, match="set model=nequip"):
        starting_point.find(chosen, frames)


def test_a_file_that_is_not_there_is_named(frames):
    with pytest.raises(errors.ArtefactError, match=r"nowhere\.equipot"):
        starting_point.find(settings(init_from="nowhere.equipot"), frames)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"repulsion": "zbl"}, r"potential\.repulsion: init_from=.* has wall, received zbl"),
        ({"repulsion": "fitted"}, r"potential\.repulsion: init_from=.* has wall, received fitted"),
        ({"scale": 2.0}, r"potential\.scale: init_from=.* has a scale of its own, received 2"),
        ({"shift": "bonds"}, r"potential\.shift: init_from=.* has constant, received bonds"),
    ],
)
def test_what_the_potential_does_not_have_is_not_added_silently(saved, frames, setting, message):
    with pytest.raises(errors.ConfigError, match=message):
        starting_point.find(settings(init_from=str(saved[0]), potential=setting), frames)


def test_a_run_goes_on_that_began_when_the_word_for_the_wall_was_ignored(saved, frames, tmp_path):
    place, repulsion = RunFolder(tmp_path / "run", "ar"), {"repulsion": "none"}
    given = {"name": place.name, "run_dir": str(place.path), "init_from": str(saved[0])}
    begun = settings(**given, potential=repulsion)
    with pytest.raises(errors.ConfigError, match="has wall, received none; leave it out, or train"):
        starting_point.find(begun, frames)
    place.path.mkdir()
    place.config.touch()
    found = starting_point.find(begun, frames).potential
    assert found is not None and found.spec.wall is not None


def test_many_elements_share_matrices_and_the_potential_says_so(lennard_jones):
    many = [
        dataclasses.replace(s, atomic_numbers=np.arange(4) + 4 * (i % 3) + 1)
        for i, s in enumerate(lennard_jones[:4])
    ]
    parts = preparation.prepare(settings(model=MODEL), made_of(many[:3], many[3:]), 1)
    assert parts.spec.model_config.shared_matrices == 8
    shapes = jax.tree.map(np.shape, parts.params["model"]["interaction_0"])
    assert shapes["shared_self_connection"]["of_species"] == (12, 8)


def test_what_is_frozen_is_counted_and_unknown_names_are_told(saved, frames):
    path = str(saved[0])
    chosen = settings(init_from=path, optimizer={"freeze": ["embedding", "radial"]})
    notes = preparation.prepare(chosen, frames, 1).notes
    assert any(note.startswith("Frozen: embedding, radial, ") for note in notes)
    wrong = settings(init_from=path, optimizer={"freeze": ["embeding"]})
    with pytest.raises(errors.ConfigError, match=r"named 'embeding'\. Did you mean 'embedding'"):
        preparation.prepare(wrong, frames, 1)
    everything = settings(
        init_from=path, optimizer={"freeze": ["embedding", "interaction", "readout"]}
    )
    with pytest.raises(errors.ConfigError, match="expected some parameters to be trained"):
        preparation.prepare(everything, frames, 1)
    with pytest.raises(errors.ConfigError, match="expected none without init_from"):
        settings(optimizer={"freeze": ["embedding"]})


@pytest.mark.wide
def test_several_levels_of_theory_give_the_potential_as_many_heads(saved, frames, tmp_path):
    """What one of them is off by is fitted for that one alone."""
    path, first = saved
    said = evaluate.evaluate(artefact.load(path), frames.train)
    both = [
        dataclasses.replace(
            s, head=head, energy=p.energy + offset * len(s.atomic_numbers), forces=p.forces
        )
        for s, p in zip(frames.train, said, strict=True)
        for head, offset in (("new", -20.0), ("old", 0.0))
    ]
    valid = [dataclasses.replace(s, head="old") for s in frames.valid]
    chosen = settings(init_from=str(path), potential={"reference_energies": "least_squares"})
    begun = starting_point.find(chosen, made_of(both, valid))
    assert begun.heads == begun.potential.spec.heads == ("new", "old")
    change = begun.potential.spec.references - first.spec.references
    np.testing.assert_allclose(change, [[-20.0, -20.0], [0.0, 0.0]], atol=1e-3)
    assert any("a head for each of new, old" in note for note in begun.references.notes)
    several, nameless = tmp_path / "two.equipot", dataclasses.replace(valid[0], head="")
    artefact.save(several, begun.potential)
    third = settings(init_from=str(several))
    with pytest.raises(errors.DataError, match="one of the heads new, old, received none"):
        starting_point.find(third, made_of([nameless], [nameless]))
    again = evaluate.evaluate(begun.potential, valid)
    known = evaluate.evaluate(artefact.load(path), frames.valid)
    for a, b in zip(again, known, strict=True):
        np.testing.assert_allclose(a.forces, b.forces, rtol=1e-5, atol=1e-6)


@pytest.mark.wide
def test_a_level_of_theory_without_data_keeps_its_references(saved, frames, tmp_path):
    path = saved[0]
    both = [dataclasses.replace(s, head=head) for s in frames.train for head in ("new", "old")]
    valid = [dataclasses.replace(s, head="old") for s in frames.valid]
    begun = starting_point.find(settings(init_from=str(path)), made_of(both, valid))
    several = artefact.save(tmp_path / "two.equipot", begun.potential)
    old = [s for s in both if s.head == "old"]
    given = {"reference_energies": {"Ar": -1.0, "Kr": 2.0}}
    chosen = settings(init_from=str(several), potential=given)
    again = starting_point.find(chosen, made_of(old, valid)).potential
    np.testing.assert_array_equal(again.spec.references[0], begun.potential.spec.references[0])
    np.testing.assert_allclose(again.spec.references[1], [-1.0, 2.0])
    np.testing.assert_array_equal(again.params["shift"][0], begun.potential.params["shift"][0])


@pytest.mark.wide
@pytest.mark.parametrize("before", ["default", "dft"])
def test_one_level_of_theory_gives_its_name_to_the_only_head(saved, frames, tmp_path, before):
    potential = artefact.load(saved[0])
    named = dataclasses.replace(potential.spec, heads=(before,))
    path = artefact.save(tmp_path / "one.equipot", dataclasses.replace(potential, spec=named))
    own, valid = (
        [dataclasses.replace(s, head="xtb") for s in part] for part in (frames.train, frames.valid)
    )
    begun = starting_point.find(settings(init_from=str(path)), made_of(own, valid))
    assert begun.heads == ("xtb",)
    nameless = starting_point.find(settings(init_from=str(path)), frames)
    assert nameless.heads == (before,)
    both = [*own, *(dataclasses.replace(s, head="dft") for s in own)]
    assert starting_point.find(settings(init_from=str(path)), made_of(both, valid)).heads == (
        "dft",
        "xtb",
    )


@pytest.mark.wide
def test_references_are_fitted_to_the_potential_whose_wall_has_made_way(saved, frames):
    """Else what the old wall adds, electronvolts, would go into the energies of atoms."""
    potential = artefact.load(saved[0])
    far = Wall(nearest=(4.2, 4.2, 4.2), pushes=(9.0, 9.0, 9.0))
    spec = dataclasses.replace(potential.spec, wall=far)
    path = artefact.save(
        saved[0].with_name("far.equipot"), dataclasses.replace(potential, spec=spec)
    )
    chosen = settings(init_from=str(path), potential={"reference_energies": "least_squares"})
    parts = preparation.prepare(chosen, frames, 1)
    again = Potential(spec=parts.spec, params=jax.device_get(parts.params))
    assert max(again.spec.wall.nearest) < 4.2
    predicted = evaluate.evaluate(again, frames.train)
    compositions = np.array(
        [[np.sum(s.atomic_numbers == z) for z in (18, 36)] for s in frames.train], float
    )
    rest = np.array([s.energy - p.energy for s, p in zip(frames.train, predicted, strict=True)])
    sizes = compositions.sum(axis=1)
    left = np.linalg.lstsq(compositions / sizes[:, None], rest / sizes, rcond=None)[0]
    np.testing.assert_allclose(left, 0.0, atol=1e-4)


def test_energies_that_the_shift_holds_are_no_other_level_of_theory(saved, frames):
    """A potential without reference energies has all of it in the shift."""
    far = [
        dataclasses.replace(s, energy=s.energy - 100.0 * len(s.atomic_numbers))
        for s in frames.train
    ]
    given = made_of(far, frames.valid)
    first = preparation.prepare(
        settings(model=MODEL, potential={"reference_energies": "none"}), given, 1
    )
    potential = Potential(spec=first.spec, params=jax.device_get(first.params))
    path = artefact.save(saved[0].with_name("bare.equipot"), potential)
    assert starting_point.find(settings(init_from=str(path)), given).potential is not None


def test_the_model_that_nobody_chose_is_that_of_the_shipped_settings():
    text = (ROOT / "configs" / "train.yaml").read_text()
    assert f"- model: {starting_point.DEFAULT_MODEL}\n" in text
