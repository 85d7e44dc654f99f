"""The pictures show every label: in its place, or counted as one that is outside."""

import dataclasses
import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from equipot.data.structure import Structure
from equipot.quantities import ENERGY, FORCES, STRESS
from equipot.training import config
from equipot.training.run_page import atoms, curves, distribution, parity, settings, writer


def two_panels():
    return Figure(figsize=(3, 5)).subplots(2, 1)


def drawn(labels, predicted, quantity=FORCES):
    above, below = two_panels()
    parity.draw(above, below, labels, predicted, quantity)
    return above, below


def test_the_parity_panel_is_square_with_equal_axes():
    rng = np.random.default_rng(0)
    labels = rng.normal(size=300)
    above, below = drawn(labels, labels + 0.1 * rng.normal(size=300))
    assert above.get_xlim() == above.get_ylim() == below.get_xlim()
    assert above.get_box_aspect() == 1.0
    low, high = above.get_xlim()
    assert low < labels.min() and labels.max() < high < 1.3 * labels.max()
    assert below.get_ylim()[0] == -below.get_ylim()[1]
    assert above.get_title("left") == below.get_title("left") == ""


def test_axes_name_quantity_and_unit_and_energies_are_about_their_mean():
    labels = np.array([-100.0, -101.0, -103.0])
    above, below = drawn(labels, labels + 0.002, ENERGY)
    assert below.get_xlabel() == "label − mean, eV/atom"
    assert above.get_ylabel() == "prediction − mean, eV/atom"
    assert below.get_ylabel() == "error, meV/atom"
    assert -2.0 < above.get_xlim()[0] < -1.6 and 1.3 < above.get_xlim()[1] < 1.6
    points = below.get_lines()[-1].get_xydata()
    np.testing.assert_allclose(points[:, 1], 2.0)


def test_outliers_are_counted_and_marked_at_the_rim():
    rng = np.random.default_rng(1)
    labels = rng.normal(size=5000)
    predicted = labels + 0.01 * rng.normal(size=5000)
    predicted[:3] += 50.0
    predicted[3] = -70.0
    above, below = drawn(labels, predicted)
    low, high = above.get_xlim()
    missed = (labels < low) | (labels > high) | (predicted < low) | (predicted > high)
    assert missed[:4].all() and missed.sum() < 10
    assert above.get_title("left") == f"▲ {missed.sum()} of 5,000 outside"
    rim = next(line for line in above.get_lines() if line.get_marker() == "^").get_xydata()
    assert len(rim) == missed.sum()
    assert set(rim[:, 1].round(9)) >= {round(low, 9), round(high, 9)}
    assert below.get_ylim()[1] < 1000.0  # meV/Å, where the outliers have 50 000


def test_one_far_label_leaves_the_others_their_room():
    labels = np.append(np.linspace(-1.0, 1.0, 3000), 500.0)
    span = parity.range_of(labels)
    assert -1.7 < span.low < -1.0 and 1.0 < span.high < 1.7


@pytest.mark.parametrize("count", [100, 5000])
def test_many_points_become_counts_that_miss_none(count):
    rng = np.random.default_rng(2)
    labels = rng.normal(size=count)
    above, _ = drawn(labels, labels + 0.05 * rng.normal(size=count))
    if count == 100:
        assert not above.get_images()
        assert len(above.get_lines()[-1].get_xydata()) == count
        return
    [image] = above.get_images()
    outside = re.match(r"▲ ([\d,]+) of", above.get_title("left"))
    missed = int(outside[1]) if outside else 0
    assert np.nansum(np.ma.filled(image.get_array(), 0.0)) == count - missed


@pytest.mark.parametrize("labels", [np.zeros(1), np.full(9, -3.0), np.array([1e-30, 2e-30])])
def test_degenerate_labels_are_drawn(labels):
    for predicted in (labels, labels + 1.0, np.full_like(labels, np.nan)):
        above, below = drawn(labels, predicted, STRESS)
        assert above.get_xlim()[0] < above.get_xlim()[1]
        assert below.get_ylim()[0] < below.get_ylim()[1]
        above.figure.draw_without_rendering()


def test_bins_are_round_symmetric_and_few():
    rng = np.random.default_rng(3)
    for size, scale in ((30, 1e-6), (3000, 0.37), (200_000, 1e4)):
        edges = distribution.edges_of({"train": scale * rng.standard_t(3, size=size)})
        width = edges[1] - edges[0]
        assert f"{width:.9e}"[0] in "125" and re.fullmatch(r".\.0+e.*", f"{width:.9e}")
        np.testing.assert_allclose(edges, -edges[::-1])
        assert 8 <= len(edges) - 1 <= 82


def test_shares_and_outside_add_up_to_all_labels():
    rng = np.random.default_rng(4)
    errors = {"train": rng.normal(size=500), "test": np.append(rng.normal(size=98), [90.0, np.nan])}
    axis = Figure().subplots()
    distribution.draw(axis, errors, FORCES)
    shares = [np.sum(patch.get_data().values) for patch in axis.patches]
    words = axis.texts[0].get_text()
    outside = {name: int(count) for name, count in re.findall(r"(\w+): (\d+)", words)}
    assert outside["test"] >= 2
    for (name, own), share in zip(errors.items(), shares, strict=True):
        assert share == pytest.approx(100 * (1 - outside.get(name, 0) / len(own)))


def test_curves_are_of_what_was_logged_and_mark_the_best_step():
    lines = [{"step": n, "loss": 1.0 / n, "stress_rmse": 0.002} for n in range(1, 4001)]
    lines[-1] |= {"valid_loss": 0.5, "valid_stress_rmse": 0.001}
    found = curves.curves(lines, {"energy": ENERGY, "stress": STRESS})
    assert [curve.key for curve in found] == ["loss", "stress_rmse"]
    axis = Figure().subplots()
    curves.draw(axis, found[1], lines, curves.Names(), best_step=4000)
    training, validation, best = axis.get_lines()
    assert len(training.get_xdata()) <= 1001
    assert (training.get_xdata()[-1], training.get_ydata()[-1]) == (4000, 2.0)
    assert validation.get_xydata().tolist() == [[4000, 1.0]]
    assert list(best.get_xdata()) == [4000, 4000]
    assert axis.get_ylabel() == "RMSE of stress, meV/Å³"


def circles(svg):
    found = re.findall(r'<circle cx="([-\d.]+)" cy="([-\d.]+)" r="([-\d.]+)"( class="mark")?', svg)
    balls = np.array([own[:3] for own in found if not own[3]], float)
    marks = np.array([own[:3] for own in found if own[3]], float)
    return balls, marks


def test_a_molecule_keeps_its_size_and_its_marked_atom(lennard_jones):
    water = np.array([[0.0, 0.0, 0.0], [0.76, 0.0, 0.59], [-0.76, 0.0, 0.59]])
    structure = Structure(positions=water + 7.0, atomic_numbers=np.array([8, 1, 1]))
    svg = atoms.svg(structure, 1)
    balls, [mark] = circles(svg)
    assert len(balls) == 3 and svg.count('class="bond"') == 2
    # Seen along the shortest axis, in which all atoms lie: distances are those in space.
    places = balls[:, :2]
    apart = np.sort([np.linalg.norm(places[i] - places[j]) for i, j in ((0, 1), (0, 2), (1, 2))])
    np.testing.assert_allclose(apart, [np.hypot(0.76, 0.59)] * 2 + [1.52], atol=0.02)
    assert np.abs(places - mark[:2]).sum(axis=1).min() < 1e-9
    assert 'aria-label="structure (H2O)"' in svg
    assert circles(atoms.svg(structure))[1].size == 0
    crystal = atoms.svg(lennard_jones[0], 2)
    assert len(circles(crystal)[0]) == 4 and crystal.count('class="cell"') == 12


def test_atoms_of_a_crystal_are_drawn_around_the_marked_one():
    rng = np.random.default_rng(5)
    wandered = 6.0 * rng.uniform(size=(50, 3)) + 6.0 * rng.integers(-9, 9, size=(50, 3))
    structure = Structure(
        positions=wandered,
        atomic_numbers=np.full(50, 18),
        cell=6.0 * np.eye(3),
        pbc=np.ones(3, bool),
    )
    for marked in (None, 11):
        balls, _ = circles(atoms.svg(structure, marked))
        assert len(balls) == 50
        assert np.ptp(balls[:, :2], axis=0).max() < 6.0 * np.sqrt(3)


def test_of_a_large_structure_the_atoms_near_the_marked_one_are_drawn():
    grid = 3.0 * np.stack(np.meshgrid(*[np.arange(8.0)] * 3), -1).reshape(-1, 3)
    structure = Structure(positions=grid, atomic_numbers=np.full(512, 79), source="big.xyz")
    svg = atoms.svg(structure, 0)
    assert len(circles(svg)[0]) == 240 and "272 farther atoms left out" in svg
    assert len(circles(svg)[1]) == 1
    for number in (1, 118):
        lone = Structure(positions=np.zeros((1, 3)), atomic_numbers=np.array([number]))
        assert len(circles(atoms.svg(lone, 0))[0]) == 1


def test_settings_are_those_that_differ_from_their_defaults():
    mapping = {"data": {"train": "a.xyz"}, "model": {"name": "mace"}}
    bare = config.train_config(mapping)
    assert settings.changed(bare) == [("model.name", "mace", ""), ("data.train", "a.xyz", "")]
    changed = dataclasses.replace(
        config.train_config({**mapping, "model": {"name": "mace", "cutoff": 4.25}, "name": "x"}),
        optimizer=config.OptimizerConfig(ema_decay=None),
    )
    rows = {key: (value, default) for key, value, default in settings.changed(changed)}
    assert rows["optimizer.ema_decay"] == ("null", "0.999")
    assert rows["model.cutoff"][0] == "4.25" and rows["model.cutoff"][1] != ""
    assert len(rows) == 4


def test_the_share_of_waiting_is_that_of_all_steps():
    # 10 steps of 0.1 s with a tenth of waiting, 30 steps of 0.2 s with a half.
    lines = [
        {"step": 10, "structures_per_second": 40.0, "waiting": 0.1},
        {"step": 40, "structures_per_second": 20.0, "waiting": 0.5},
    ]
    assert writer.waiting(lines) == pytest.approx((1.0 * 0.1 + 6.0 * 0.5) / 7.0)
    assert writer.waiting([{"step": 10, "structures_per_second": 40.0}]) is None
    assert writer.waiting([]) is None


def test_names_of_curves_follow_the_optimizer():
    mapping = {"data": {"train": "a.xyz"}, "model": {"name": "mace"}}
    assert writer.names_of(config.train_config(mapping)).validation.endswith("averaged parameters)")
    raw = config.train_config({**mapping, "optimizer": {"ema_decay": None}})
    assert "same parameters" in writer.names_of(raw).validation
    free = {"name": "schedule_free", "schedule": "constant", "ema_decay": None}
    own = config.train_config({**mapping, "optimizer": free})
    assert "optimizer's own average" in writer.names_of(own).validation
