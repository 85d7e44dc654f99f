"""Pairs of atoms: a hole outside of training and a missing wall are found."""

import dataclasses
import functools

import jax.numpy as jnp
import pytest

from equipot.audit import pair_curves, samples
from tests.audit import subjects


def lines_of(audited):
    chosen = samples.choose([], audited.species_table, audited.cutoff, audited.distance_range)
    return {own.name: own for own in pair_curves.check(audited, chosen)}


@functools.cache
def curves():
    return pair_curves.compute(subjects.right())


def test_a_morse_potential_has_its_well_and_its_wall():
    curve = curves()[0]
    assert curve.well == pytest.approx(-subjects.DEPTH, abs=0.05)
    assert curve.fall == 0.0
    assert curve.attraction < 0.0
    assert all(own.passed for own in lines_of(subjects.right()).values())


def test_a_hole_has_the_depth_that_was_dug():
    lines = lines_of(subjects.with_a_hole())
    hole = lines["pair curves: holes"]
    depth = 30.0 - subjects.DEPTH * 5.05**2  # of the Morse wall, e^(2 · 0.9) − 1 = 5.05, at 0.5 Å
    assert not hole.passed
    assert depth < hole.value < 30.0
    assert "beyond the limit: " in hole.sentence


def test_a_hole_within_the_range_of_training_is_its_well():
    span = dataclasses.replace(subjects.SPAN, shortest=dict.fromkeys(subjects.SPAN.shortest, 0.4))
    audited = dataclasses.replace(subjects.with_a_hole(), distance_range=span)
    assert lines_of(audited)["pair curves: holes"].value == 0.0


def test_a_pair_that_attracts_at_short_range_has_no_wall():
    soft = subjects.audited(subjects.morse(lambda r: -40.0 * jnp.exp(-((r / 0.8) ** 2))))
    lines = lines_of(soft)
    assert not lines["pair curves: wall"].passed


def test_a_pair_without_any_force_has_no_wall():
    curve = curves()[0]
    flat = dataclasses.replace(curve, forces=0.0 * curve.forces)
    assert flat.attraction == 0.0  # and not below


def test_many_elements_are_one_picture_of_all_pairs():
    assert "<svg" in pair_curves._matrix(curves())
