import pytest

from equipot import errors
from equipot.models import registry


@pytest.mark.parametrize("name", registry.available())
@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("cutoff", -1.0, "cutoff: expected a positive length"),
        ("cutoff", 0.0, "cutoff: expected a positive length"),
        ("cutoff", float("inf"), "cutoff: expected finite numbers"),
        ("cutoff", float("nan"), "cutoff: expected a number, received nan"),
        ("cutoff", 5000.0, "cutoff: expected at most 100 Å"),
        ("num_radial_basis", -(10**400), "num_radial_basis: expected at least"),
        ("num_layers", 0, "num_layers: expected at least 1"),
        ("num_channels", 0, "num_channels: expected"),
        ("num_radial_basis", 0, "num_radial_basis: expected at least"),
        ("polynomial_cutoff", 0, "polynomial_cutoff: expected at least 2"),
        ("polynomial_cutoff", 1000, "polynomial_cutoff: expected at most 100"),
        ("lmax", -1, "lmax: expected at least 0"),
        ("lmax", 1000, "lmax: expected at most"),
        ("num_layers", 10**11, "num_layers: expected at most 100"),
        ("message_lmax", 1000, "message_lmax: expected at most"),
        ("num_scalars", 0, "num_scalars: expected at least 1"),
        ("readout_width", -1, "readout_width: expected at least 0"),
        ("embedding_channels", 0, "embedding_channels: expected at least 1"),
        ("embedding_dim", 0, "embedding_dim: expected an even number"),
        ("spline_span", -1, "spline_span: expected"),
        ("correlation", 0, "correlation: expected 1 to 4"),
        ("correlation", [], "correlation: expected one number"),
        ("num_channels", [], "num_channels: expected"),
        ("pair_cutoffs", [[-1.0]], "pair_cutoffs: expected radii"),
        *((f"{part}_widths", [8, 0], f"{part}_widths: expected positive widths")
          for part in ("radial", "readout", "embedding", "latent")),
    ],
)  # fmt: skip
def test_a_setting_that_makes_an_empty_or_useless_model_is_refused(name, key, value, sentence):
    known = registry.config_class(name).__dataclass_fields__
    if key not in known or (isinstance(value, list) and "tuple" not in str(known[key].type)):
        return  # not a setting of this model
    with pytest.raises(errors.ConfigError, match=sentence):
        registry.config_from_mapping({"name": name, key: value})
