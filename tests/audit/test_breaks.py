"""Jumps and kinks are found and measured; curvature, however strong, is none."""

import numpy as np
import pytest

from equipot.audit import breaks


def smooth(x):
    """A steep wall and a well, as between atoms."""
    a, r = 2.5, 1.1
    energy = 4.0 * ((1 - np.exp(-a * (x - r))) ** 2 - 1)
    force = -8.0 * (1 - np.exp(-a * (x - r))) * a * np.exp(-a * (x - r))
    return energy, force


def broken(energy=0.0, force=0.0, slope=0.0, place=1.7321):
    def curve(x):
        e, f = smooth(x)
        beyond = np.maximum(x - place, 0.0)
        e = e + energy * (x > place) - force * beyond - 0.5 * slope * beyond**2
        return e, f + force * (x > place) + slope * beyond

    return curve


def largest(curve, start, stop, kind):
    return max(getattr(own, kind) for own in breaks.find(curve, start, stop, 161))


def test_a_steep_wall_has_no_break():
    assert largest(smooth, 0.4, 3.0, "energy") < 1e-9
    assert largest(smooth, 0.4, 3.0, "force") < 1e-9
    assert largest(smooth, 0.4, 3.0, "slope") < 1e-3


@pytest.mark.parametrize("kind", ["energy", "force", "slope"])
@pytest.mark.parametrize("size", [0.3, 0.02])
@pytest.mark.parametrize("place", [1.1, 1.7321, 2.918])
def test_a_break_is_measured_where_it_is(kind, size, place):
    found = breaks.find(broken(**{kind: size}, place=place), 0.4, 3.0, 161)
    worst = max(found, key=lambda own: getattr(own, kind))
    assert getattr(worst, kind) == pytest.approx(size, rel=1e-3)
    assert worst.place == pytest.approx(place, abs=1e-5)


def test_a_kink_is_no_jump_of_the_energy():
    assert largest(broken(force=0.3), 0.4, 3.0, "energy") < 1e-6


def test_a_force_that_is_not_the_slope_of_the_energy_is_no_jump():
    def curve(x):
        energy, force = smooth(x)
        return energy, 1.01 * force

    assert largest(curve, 0.4, 3.0, "energy") < 1e-6


def test_what_is_not_finite_is_not_smooth():
    [found] = breaks.find(lambda x: (np.where(x > 1.0, np.nan, 0.0), 0 * x), 0.5, 2.0)
    assert np.isnan(found.energy)
