"""Potentials with quantities come back whole, and what is damaged is refused with a sentence."""

import dataclasses
import json

import numpy as np
import pytest

from equipot import errors
from equipot.potential import archive, arrays, artefact, evaluate
from equipot.testing import structures

CLUSTER = structures.cluster(3.5, (1, 8))


@pytest.fixture(scope="module")
def saved(polar_potential, tmp_path_factory):
    return artefact.save(tmp_path_factory.mktemp("polar") / "polar.equipot", polar_potential)


def rewritten(source, target, change):
    version, parts = archive.read_archive(source, artefact.KIND, artefact.FORMAT_VERSION)
    change(parts)
    archive.write_archive(target, artefact.KIND, version, parts)
    return target


def test_a_potential_with_quantities_says_what_it_said(saved, polar_potential):
    loaded = artefact.load(saved)
    assert loaded.spec == polar_potential.spec
    before, after = (evaluate.evaluate(p, [CLUSTER])[0] for p in (polar_potential, loaded))
    for name in ("charges", "dipole", "gaps"):
        np.testing.assert_array_equal(before.value(name), after.value(name))


def test_a_potential_without_quantities_mentions_none(make_potential, tmp_path):
    path = artefact.save(tmp_path / "plain.equipot", make_potential())
    _, parts = archive.read_archive(path, artefact.KIND, artefact.FORMAT_VERSION)
    assert "quantities" not in json.loads(parts["potential.json"])
    assert not any("others" in name or "quantity" in name for name in parts)


def test_a_dipole_of_the_probe_that_changed_is_refused(saved, tmp_path):
    def change(parts):
        parts["probe/others/dipole.npy"] = arrays.to_bytes(np.ones(3))

    path = rewritten(saved, tmp_path / "other.equipot", change)
    with pytest.raises(errors.ArtefactError, match=r"dipole of the stored probe differ by .* e Å"):
        artefact.load(path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("dipole", None, r"the part probe/others/dipole\.npy is missing"),
        ("dipole", np.ones(2), r"probe/dipole: expected the shape \(3,\), received \(2,\)"),
        ("charges", np.full(8, np.nan), r"probe/charges: expected finite numbers"),
        ("spin", np.ones(3), r"the part probe/others/spin\.npy belongs to no quantity"),
    ],
)
def test_a_damaged_probe_is_refused(saved, tmp_path, name, value, message):
    def change(parts):
        part = f"probe/others/{name}.npy"
        parts.pop(part, None)
        if value is not None:
            parts[part] = arrays.to_bytes(value)

    with pytest.raises(errors.ArtefactError, match=message):
        artefact.read(rewritten(saved, tmp_path / "other.equipot", change))


@pytest.mark.parametrize(
    ("index", "change", "message"),
    [
        (1, {"irreps": "1x"}, r"data\.quantities\.dipole\.irreps: expected irreps such as"),
        (1, {"irreps": "1e"}, r"quantities\.dipole\.charges: expected a quantity per structure"),
        (1, {"irreps": "1x1o"}, r"quantities\.dipole: expected .*irreps='1o'"),
        (1, {"charges": "gaps"}, r"expected the name of a quantity with sums_to_charge=true"),
        (0, {"per": "molecule"}, r"per: expected one of atom, structure; received 'molecule'"),
        (0, {"name": "energy"}, r"data\.quantities\.energy: expected a name of letters"),
        (0, {"name": "gaps"}, r"quantities: expected names that differ"),
        (0, {"colour": "red"}, r"unknown key 'colour'"),
        (2, {"irreps": "500x0e"}, r"gaps.* has shape"),
        (2, {"irreps": "2x2e"}, r"of 2e the model nequip has no features"),
    ],
)
def test_damaged_quantities_are_refused(saved, tmp_path, index, change, message):
    def damage(parts):
        found = json.loads(parts["potential.json"])
        found["quantities"][index].update(change)
        parts["potential.json"] = archive.write_json(found)

    with pytest.raises(errors.ArtefactError, match=message):
        artefact.read(rewritten(saved, tmp_path / "other.equipot", damage))


def test_readers_that_know_no_quantities_refuse_such_a_file(saved, tmp_path):
    """They refuse keys that they do not know, as this one does."""

    def change(parts):
        found = json.loads(parts["potential.json"])
        found["of_the_future"] = found.pop("quantities")
        parts["potential.json"] = archive.write_json(found)

    path = rewritten(saved, tmp_path / "other.equipot", change)
    with pytest.raises(errors.ArtefactError, match=r"unknown key .* made by another version\?"):
        artefact.read(path)


def test_parameters_that_are_not_finite_are_refused(polar_potential, tmp_path):
    params = dict(polar_potential.params)
    params["quantity_scale"] = params["quantity_scale"] | {"dipole": np.array(np.nan)}
    broken = dataclasses.replace(polar_potential, params=params)
    with pytest.raises(errors.NonFiniteError):
        artefact.save(tmp_path / "broken.equipot", broken)
