import pytest

from equipot import errors
from equipot.cli import run


def test_a_mapping_without_data_is_refused():
    with pytest.raises(errors.ConfigError, match="needs a file of structures"):
        run.train({"model": {"name": "nequip"}})
