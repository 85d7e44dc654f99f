import pytest

from equipot import errors, quantities
from equipot.quantities import QuantityConfig


def test_a_declaration_is_what_is_made_of_its_quantity():
    configs = {
        "charges": QuantityConfig(per="atom", unit="e", key="q", sums_to_charge=True),
        "dipole": QuantityConfig(irreps="1o", key="dipole", charges="charges"),
        "own": QuantityConfig(irreps="2x0e+3o", key="own"),
    }
    table = quantities.declared(configs)
    assert quantities.configured(table.values()) == configs
    assert [table[name].shape for name in table] == [(), (3,), (9,)]
    assert [*quantities.every(table)] == ["energy", "forces", "stress", *configs]


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        (
            "forces",
            QuantityConfig(),
            "expected a name of letters, .* other than",
        ),
        ("a b", QuantityConfig(), "expected a name of letters"),
        ("elements", QuantityConfig(), "expected a name"),
        ("own", QuantityConfig(irreps="1x"), "expected irreps such as 0e, 1o or 0e.2e"),
        ("own", QuantityConfig(irreps="0x0e"), "expected irreps of 1 to 1000 components"),
        ("own", QuantityConfig(sums_to_charge=True), "expected a quantity per atom of irreps 0e"),
        (
            "own",
            QuantityConfig(charges="q"),
            "expected a quantity per structure of irreps",
        ),
        (
            "own",
            QuantityConfig(irreps="1o", charges="q"),
            "expected the name of a quantity with",
        ),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(name, config, message):
    with pytest.raises(errors.ConfigError, match=f"data.quantities.{name}.*{message}"):
        quantities.declared({name: config})


def test_errors_of_declared_quantities_are_shown_in_their_own_unit():
    own = quantities.declared({"own": QuantityConfig(unit="e")})["own"]
    assert (own.show(0.00123456), quantities.DERIVED["forces"].show(0.12345)) == (
        "0.001235",
        "123.45",
    )
