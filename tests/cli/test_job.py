import pytest

from equipot import errors
from equipot.cli import job


def test_a_mapping_without_data_is_refused():
    with pytest.raises(errors.ConfigError, match="needs a file of structures"):
        job.train({"model": {"name": "nequip"}})
