"""Which keys a file's labels of declared quantities are read from."""

import json

import ase.build
import ase.io
import numpy as np
import pytest

from equipot import errors
from equipot.cli import evaluate, main
from equipot.potential import artefact


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("dipole", "expected QUANTITY=KEY, received 'dipole'"),
        ("dipole=", "expected QUANTITY=KEY, received 'dipole='"),
        ("dipol=mu", "gives no 'dipol'. Did you mean 'dipole'"),
        ("forces=f", "for forces use --forces-key f"),
    ],
)
def test_a_key_of_no_declared_quantity_is_refused_with_a_sentence(polar_potential, word, message):
    with pytest.raises(errors.ConfigError) as caught:
        evaluate._declarations(polar_potential.spec.quantities, [word])
    assert message in str(caught.value)


def test_a_declared_quantity_is_read_from_the_key_that_is_named(
    polar_potential, tmp_path, capsys: pytest.CaptureFixture
):
    path = artefact.save(tmp_path / "polar.equipot", polar_potential)
    water = ase.build.molecule("H2O")
    water.info["mu"] = np.array([0.0, 0.0, 0.4])
    ase.io.write(tmp_path / "water.extxyz", water)
    words = [str(path), str(tmp_path / "water.extxyz"), "--json", str(tmp_path / "table.json")]
    main.main(["evaluate", *words])
    assert json.loads((tmp_path / "table.json").read_text())["dipole"] is None
    main.main(["evaluate", *words, "--key", "dipole=mu"])
    assert json.loads((tmp_path / "table.json").read_text())["dipole"]["mae"] > 0
