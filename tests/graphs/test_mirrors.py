import numpy as np
import pytest

from equipot.graphs import batching, mirrors
from equipot.graphs.batching import Budget


@pytest.fixture
def batch(water):
    return batching.collate(water[:2], Budget(60, 3500, 4), 3.5)


def test_a_batch_has_its_mirror_images_adjacent_in_padding_too(batch):
    mirrors.check_paired(batch)
    assert mirrors.is_paired(batch)


@pytest.mark.parametrize("field", ["senders", "receivers", "cell_shifts"])
def test_one_edge_out_of_order_is_noticed(batch, field):
    leaf = batch.edges.cell_shifts if field == "cell_shifts" else getattr(batch, field)
    leaf[40] += 1
    assert not mirrors.is_paired(batch)
    with pytest.raises(ValueError, match="graph of 3500 edges: expected each edge before its mirr"):
        mirrors.check_paired(batch)


def test_an_odd_number_of_edges_is_noticed(batch):
    short = batch._replace(
        senders=batch.senders[:-1],
        receivers=batch.receivers[:-1],
        edges=batch.edges.replace(cell_shifts=np.asarray(batch.edges.cell_shifts)[:-1]),
    )
    assert not mirrors.is_paired(short)
    with pytest.raises(ValueError, match="expected each edge before its mirror image"):
        mirrors.check_paired(short)
