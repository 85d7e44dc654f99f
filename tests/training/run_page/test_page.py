"""What a reader of the page of a run sees."""

import dataclasses
import re

import numpy as np
import pytest

from equipot import quantities
from equipot.quantities import Label, QuantityConfig
from equipot.training import reports
from equipot.training.run_page import page, panels, tables
from tests.training.run_page.pages import Page, contents, predictions, unlabelled


@pytest.fixture(scope="module")
def splits(lennard_jones):
    parts = {"train": lennard_jones[:20], "valid": lennard_jones[20:30], "test": lennard_jones[30:]}
    return {name: (own, predictions(own, i)) for i, (name, own) in enumerate(parts.items())}


@pytest.fixture(scope="module")
def text(splits):
    return page.render(contents(splits))


@pytest.fixture(scope="module")
def seen(text):
    return Page(text)


def test_the_table_has_the_numbers_of_metrics_json(splits, seen):
    names = {"train": "training", "valid": "validation", "test": "test"}
    expected = []
    for split, own in splits.items():
        found = reports.split_errors(*own).to_json()
        for name, unit in (("energy", "meV/atom"), ("forces", "meV/Å"), ("stress", "meV/Å³")):
            mae, rmse = (f"{1000 * found[name][kind]:.2f}" for kind in ("mae", "rmse"))
            expected.append([names[split], f"{name}, {unit}", mae, rmse])
    assert [row[:4] for row in seen.table("split", "quantity")] == expected


def test_errors_stand_by_element_and_by_group(splits, seen):
    found = reports.split_errors(*splits["test"]).to_json()
    rows = seen.table("forces, test")
    assert [row[0] for row in rows] == ["Ar", "Kr"]
    for row in rows:
        assert row[2] == f"{1000 * found['elements'][row[0]]['rmse']:.2f}"
    rows = seen.table("group, test")
    assert [row[0] for row in rows] == ["300 K", "600 K"]
    for row in rows:
        assert row[4] == f"{1000 * found['groups'][row[0]]['forces']['rmse']:.2f}"


def test_the_worst_structures_are_named_the_worst_first(splits, seen):
    structures, predicted = splits["test"]
    errors = [
        float(np.sqrt(np.mean((p.forces - s.forces) ** 2)))
        for s, p in zip(structures, predicted, strict=True)
    ]
    order = np.argsort(errors)[::-1][:8]
    captions = [words for words in seen.figures if any(", frame " in word for word in words)]
    for i, words in zip(order, captions, strict=False):
        lengths = np.linalg.norm(predicted[i].forces - structures[i].forces, axis=1)
        atom = int(np.argmax(lengths))
        element = {18: "Ar", 36: "Kr"}[int(structures[i].atomic_numbers[atom])]
        assert words == [
            f"{1000 * errors[i]:.2f} meV/Å",
            f"{1000 * lengths[atom]:.2f} meV/Å at atom {atom}, {element}",
            structures[i].source,
            structures[i].formula,
            f"group {structures[i].group}",
        ]
    energies = [abs(p.energy - s.energy) for s, p in zip(structures, predicted, strict=True)]
    worst = structures[int(np.argmax(energies))]
    assert len(captions) == 16
    assert captions[8][:2] == [f"{1000 * max(energies) / 4:.2f} meV/atom", worst.source]


def test_nothing_is_fetched_from_elsewhere(text, seen):
    assert "script" not in seen.tags and "link" not in seen.tags
    for tag, key, value in seen.attributes:
        if key in ("src", "href", "xlink:href"):
            assert value.startswith(("#", "data:image/png;base64,")), (tag, value[:60])
        elif not key.startswith("xmlns"):
            assert "://" not in value, (tag, key, value)
    assert not re.search(r"@import|url\((?!#)", text)


def test_names_that_look_like_html_are_shown_as_they_are(splits):
    nasty = '<b>&"</b>'
    own = [
        dataclasses.replace(s, source=f"{nasty}.xyz, frame {i}", group=nasty)
        for i, s in enumerate(splits["valid"][0])
    ]
    evaluated = {"valid": (own, splits["valid"][1])}
    settings = [("data.train", nasty, "")]
    made = contents(evaluated, name=nasty, settings=settings, facts={nasty: nasty}, data=[nasty])
    seen = Page(page.render(made))
    assert nasty in seen.words
    assert seen.tags.count("b") == 16  # those of the worst structures alone
    assert seen.text.count(f"{nasty}.xyz, frame ") == 16
    assert seen.table("group, valid")[0][0] == nasty


def test_learning_curves_name_what_they_are_of_and_hold_the_stress(seen):
    assert "training (raw parameters)" in seen.words
    assert "validation (averaged parameters)" in seen.words
    labels = [value for tag, key, value in seen.attributes if (tag, key) == ("svg", "aria-label")]
    assert [label for label in labels if label.endswith("over the steps")] == [
        "loss over the steps",
        "RMSE of energy, meV/atom over the steps",
        "RMSE of forces, meV/Å over the steps",
        "RMSE of stress, meV/Å³ over the steps",
        "learning rate over the steps",
    ]


def test_a_page_during_training_has_validations_and_no_errors():
    made = contents({}, state="At step 30 of 60", errors={})
    seen = Page(page.render(made))
    assert "At step 30 of 60" in seen.words
    assert seen.table("RMSE", "last, step 30", "best, step 20") == [
        ["forces, meV/Å", "200.00", "123.46"],
        ["loss", "0.6", "0.5"],
    ]
    assert "Errors" not in seen.words and "Learning curves" in seen.words
    assert [row[0] for row in seen.table("key", "value", "default")] == ["model.name", "seed"]


def test_a_page_before_the_first_validation_stands_alone():
    seen = Page(page.render(contents({}, errors={}, lines=[], best_step=None)))
    assert "Learning curves" not in seen.words and len(seen.tables) == 1


def test_a_run_on_energies_alone_has_a_page_of_energies(lennard_jones):
    own = unlabelled(lennard_jones, "forces", "stress")
    seen = Page(page.render(contents({"train": (own, predictions(own))})))
    assert {row[1] for row in seen.table("split", "quantity")} == {"energy, meV/atom"}
    assert "forces" not in seen.words and "Errors by element" not in seen.words
    captions = [words for words in seen.figures if any(", frame " in word for word in words)]
    assert len(captions) == 8 and all("at atom" not in " ".join(words) for words in captions)


def test_declared_quantities_have_their_panels_and_worst_structures(lennard_jones):
    declared = {
        "spin": QuantityConfig(per="atom", irreps="1e", unit="µB"),
        "gap": QuantityConfig(unit="eV"),
    }
    known = quantities.every(quantities.declared(declared))
    own = [
        dataclasses.replace(s, others={"spin": Label(0.1 * s.forces, 1.0), "gap": Label(2.0, 1.0)})
        for s in unlabelled(lennard_jones, "energy", "forces", "stress")
    ]

    def others(s, rng):
        return {"spin": 0.1 * s.forces + rng.normal(size=s.forces.shape), "gap": rng.normal(2.0)}

    evaluated = {"valid": (own, predictions(own, others=others))}
    seen = Page(page.render(contents(evaluated, known)))
    found = reports.split_errors(*evaluated["valid"], known).to_json()
    rows = {row[1]: row for row in seen.table("split", "quantity")}
    assert rows.keys() == {"spin, µB", "gap, eV"}
    assert rows["gap, eV"][3] == f"{found['gap']['rmse']:.4g}"
    gaps = [abs(p.others["gap"] - 2.0) for p in evaluated["valid"][1]]
    captions = [words for words in seen.figures if any(", frame " in word for word in words)]
    assert len(captions) == 16
    assert captions[8][:2] == [f"{max(gaps):.4g} eV", own[int(np.argmax(gaps))].source]


def test_predictions_that_are_not_finite_are_said_and_come_first(lennard_jones):
    predicted = predictions(lennard_jones)
    forces = predicted[7].forces.copy()
    forces[2, 1] = np.nan
    predicted[7] = dataclasses.replace(predicted[7], forces=forces, energy=np.inf)
    seen = Page(page.render(contents({"train": (lennard_jones, predicted)})))
    rows = {row[1]: row for row in seen.table("split", "quantity")}
    assert rows["forces, meV/Å"][2:4] == ["not finite", "not finite"]
    assert rows["stress, meV/Å³"][3] != "not finite"
    captions = [words for words in seen.figures if any(", frame " in word for word in words)]
    for words in (captions[0], captions[8]):
        assert words[0].startswith("not finite") and lennard_jones[7].source in words
    assert "at atom 2," in captions[0][1]
    assert seen.text.count("1 not finite") == 4  # of a force and of an energy, in two panels each


@pytest.mark.parametrize(("split", "word"), [("test", "test"), ("valid", "validation")])
def test_the_judged_split_is_the_test_or_else_the_validation(splits, split, word):
    evaluated = {name: own for name, own in splits.items() if name in ("train", split)}
    seen = Page(panels.worst_structures(contents(evaluated)))
    assert f"The worst structures of the {word} split" in seen.words
    named = [words[-3] for words in seen.figures if any(", frame " in w for w in words)]
    assert set(named) <= {s.source for s in splits[split][0]}


def test_many_groups_are_cut_to_the_worst(lennard_jones):
    own = [dataclasses.replace(s, group=f"g{i}") for i, s in enumerate(2 * lennard_jones)]
    seen = Page(tables.groups(contents({"valid": (own, predictions(own))})))
    rows = seen.table("group, valid")
    errors = [float(row[4]) for row in rows]
    assert len(rows) == 60 and errors == sorted(errors, reverse=True)
    assert any(words.startswith("The 60 worst in forces of 80") for words in seen.words)


def test_a_table_of_many_elements_is_folded_and_whole(lennard_jones):
    own = [
        dataclasses.replace(s, atomic_numbers=np.arange(4) + 1 + 4 * (i % 8))
        for i, s in enumerate(lennard_jones)
    ]
    made = contents({"valid": (own, predictions(own))})
    seen = Page(tables.elements(made))
    assert "details" in seen.tags and "32 elements" in seen.words
    found = made.errors["valid"].elements["forces"]
    rows = seen.table("forces, valid")
    assert [row[:3] for row in rows] == [
        [name, f"{1000 * e.mae:.2f}", f"{1000 * e.rmse:.2f}"] for name, e in found.items()
    ]
    few = contents({"valid": (own[:4], predictions(own[:4]))})
    assert "details" not in Page(tables.elements(few)).tags
