import subprocess
import sys

import pytest

from equipot.process import ALONE, Process


def test_one_process_does_everything():
    assert Process() == ALONE
    assert ALONE.is_first
    assert ALONE.own("abc") == "abc"


def test_bins_are_dealt_in_order_and_each_to_one_process():
    dealt = [Process(index, 3).own(range(6)) for index in range(3)]
    assert [list(own) for own in dealt] == [[0, 1], [2, 3], [4, 5]]
    assert [Process(index, 3).is_first for index in range(3)] == [True, False, False]


def test_devices_that_cannot_be_shared_evenly_are_refused():
    with pytest.raises(ValueError, match="2 processes can share evenly, received 3"):
        Process(0, 2).own(range(3))


@pytest.mark.parametrize(("index", "count"), [(2, 2), (-1, 2), (0, 0)])
def test_a_process_that_is_not_there_is_refused(index, count):
    with pytest.raises(ValueError, match="expected a process of index 0"):
        Process(index, count)


def test_a_store_of_graphs_is_imported_without_jax():
    program = "import sys, equipot.process, equipot.store.graph_store; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
