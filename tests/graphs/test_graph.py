import dataclasses

import jax
import jax.numpy as jnp
import pytest

from equipot.graphs.graph import Edges, Globals, Nodes
from equipot.inference.device_neighbors import Pairs
from equipot.models.output import Output
from equipot.potential.derivatives import Prediction
from equipot.training.metrics import Sum, Tally
from equipot.training.state import TrainState

RECORDS = [Nodes, Edges, Globals, Pairs, Output, Prediction, Sum, Tally, TrainState]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_the_fields_of_a_record_name_shapes_and_hold_what_jax_puts_there(record):
    fields = dataclasses.fields(record)
    trees = {"params", "ema_params", "opt_state"}
    assert all("Any" not in str(field.type) for field in fields if field.name not in trees)
    found = record(**{field.name: jnp.zeros(2) for field in fields})
    others = [
        jax.tree.map(lambda _: None, found),
        jax.tree.map(lambda _: "data", found),
        jax.eval_shape(lambda tree: tree, found),
    ]
    assert all(isinstance(other, record) for other in others)
