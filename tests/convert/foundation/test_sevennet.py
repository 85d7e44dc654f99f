"""Checkpoints of SevenNet: the numbers of the program itself, earlier versions, broken ones."""

import re
from pathlib import Path

import numpy as np
import pytest

from equipot import errors
from equipot.cli import main
from equipot.convert.foundation import sevennet
from equipot.potential import artefact
from tests.convert.foundation import files, structures

# ``python -m tests.convert.foundation.make_values`` prints the program's own numbers, float32: of
# forces those on the first atom and the norm, of the stress the diagonal and the norm.
ENERGY = -2.737323
FORCES = (-0.06516, 0.005632, -0.019131, 0.200671)
STRESS = (0.0014919, 0.0021736, 0.0030674, 0.0052024)


@pytest.mark.wide
def test_a_small_checkpoint_gives_what_the_program_gives(tmp_path: Path):
    potential = sevennet.read(files.write_sevennet(tmp_path / "small.pth"))
    energy, forces, stress = structures.summary(potential)
    assert energy == pytest.approx(ENERGY, abs=2e-5)
    assert forces == pytest.approx(FORCES, abs=2e-5)
    assert stress == pytest.approx(STRESS, abs=2e-6)


def test_names_of_the_first_versions_are_known(tmp_path: Path):
    former = {
        name.replace("edge_embedding", "EdgeEmbedding")
        .replace("_self_connection_intro", " self connection intro")
        .replace("_convolution.", " convolution.", 1)
        .replace("denominator", "denumerator")
        .replace("reduce_input_to_hidden", "reducing nn input to hidden"): value
        for name, value in files.sevennet_state().items()
    }
    old = sevennet.read(files.write_sevennet(tmp_path / "old.pth", former))
    new = sevennet.read(files.write_sevennet(tmp_path / "new.pth"))
    for layer in ("interaction_0", "interaction_2"):
        first, second = (p.params["model"][layer]["linear_down"] for p in (old, new))
        assert all(np.array_equal(first[name], second[name]) for name in first)


def test_radial_weights_sorted_by_output_are_those_of_later_versions(tmp_path: Path):
    """In layer 0 both orders are the same: features are scalars."""
    old = sevennet.read(files.write_sevennet(tmp_path / "old.pth"))
    new = sevennet.read(files.write_sevennet(tmp_path / "new.pth", version="0.12.1"))
    first, second = (p.params["model"]["interaction_1"]["radial"] for p in (old, new))
    same = {name for name in first if np.array_equal(first[name], second[name])}
    assert "0e_0e_0e" in same and "1e_1e_2e" not in same
    every = [np.sort(np.concatenate([v.ravel() for v in r.values()])) for r in (first, second)]
    assert np.array_equal(*every)


@pytest.mark.slow
def test_the_command_needs_no_trust(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.chdir(tmp_path)
    files.write_sevennet(tmp_path / "small.pth")
    main.main(["convert", "small.pth", "--dtype", "float64"])
    assert "small.equipot: nequip, 3 elements, float64" in capsys.readouterr().out
    found = artefact.read("small.equipot").potential
    assert found.spec.species_table == (1, 8, 14)
    assert found.params["scale"] == pytest.approx([1.2, 0.9, 1.7])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"is_parity": True},
            "expected is_parity: False in the settings of SevenNet",
        ),
        ({"self_connection_type": "nequip"}, "expected self_connection_type: linear"),
        ({"use_modality": True}, "tells several levels of theory apart inside its layers"),
        ({"act_radial": "ssp"}, "expected act_radial: silu"),
        ({"cutoff_function": {"cutoff_function_name": "cosine"}}, "expected cutoff_function"),
        (
            {"cutoff_function": {"cutoff_function_name": "poly_cut", "poly_cut_p_value": 6.5}},
            "expected poly_cut_p_value: a whole number",
        ),
        ({"lmax_edge": 3}, "expected lmax_edge and lmax_node: 2"),
        ({"_type_map": {14: 0, 1: 1, 8: 3}}, "expected _type_map: an index"),
        ({"num_convolution_layer": 4}, "expected irreps_manual: irreps for 4 layers"),
        ({"cutoff": "far"}, "its settings are not those of the versions"),
        ({"weight_nn_hidden_neurons": [6, 7]}, "layer1.weight: expected numbers of shape (6, 7)"),
    ],
)
def test_another_architecture_is_told(changes: dict, message: str, tmp_path: Path):
    path = files.write_sevennet(tmp_path / "x.pth", files.sevennet_state(), **changes)
    with pytest.raises(errors.ConversionError, match=re.escape(message)) as caught:
        sevennet.read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [[1, 2], {"config": {}}, {"model_state_dict": 3}])
def test_something_else_of_torch_is_told(content: object, tmp_path: Path):
    files.write_torch(tmp_path / "x.pth", content)
    with pytest.raises(errors.ConversionError, match="expected a checkpoint of SevenNet"):
        sevennet.read(tmp_path / "x.pth")


def test_other_coefficients_are_refused(tmp_path: Path):
    state = files.sevennet_state()
    name = "1_convolution.convolution._compiled_main_left_right._w3j_1_1_2"
    state[name] = np.moveaxis(state[name], 0, 1) + 0.01
    with pytest.raises(errors.ConversionError, match=r"expected coefficients.*those of rotations"):
        sevennet.read(files.write_sevennet(tmp_path / "x.pth", state))


def test_a_checkpoint_that_names_code_is_refused_by_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.chdir(tmp_path)
    files.write_sevennet(tmp_path / "x.pth", extra=files.named("os", "system", "touch harm"))
    with pytest.raises(SystemExit):
        main.main(["convert", "x.pth", "--trust"])
    assert "names posix.system" in capsys.readouterr().err
    assert not (tmp_path / "harm").exists()
