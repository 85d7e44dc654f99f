"""Neighbors as index lists, dense or sparse: made, converted, and gathered by.

A **dense** list is ``adj_idx[..., n, k]``, the sources of destination n, with ``where[..., n, k]``,
True where an entry counts. A **sparse** list is ``dst_idx[..., p]`` and ``src_idx[..., p]``, with
``num_segments`` destinations and, where they are sorted, ``indices_are_sorted=True``. Functions
take either by keyword and skip what they do not need, so that one dictionary serves them all.
Leading axes are a batch, each item with a list of its own. An index outside of 0 … n-1 is padding:
gathered as zero (with derivative zero), and dropped by reductions.
"""

from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from equipot.e3.functions import scatter
from equipot.typing import Array, Bool, Int

T = TypeVar("T")


class Neighbors(NamedTuple):
    """An index list of either kind; its fields are the keywords of functions of lists."""

    adj_idx: Int[Array, "..."] | None = None
    where: Bool[Array, "..."] | None = None
    dst_idx: Int[Array, "..."] | None = None
    src_idx: Int[Array, "..."] | None = None
    num_segments: int | None = None
    indices_are_sorted: bool = False

    def checked(self) -> "Neighbors":
        """Itself, if it is one list.

        Raises:
          ValueError: There is no list, or one of each kind.
        """
        sparse = self.dst_idx is not None or self.src_idx is not None
        if (self.adj_idx is not None) == sparse:
            raise ValueError(
                "expected either a dense list (adj_idx) or a sparse one (dst_idx and src_idx), "
                f"received {'both' if sparse else 'neither'}"
            )
        return self

    def completed(self, num_dst: int, num_src: int) -> "Neighbors":
        """Itself, checked, with what follows from the numbers of destinations and sources.

        ``where`` of a dense list becomes, or is restricted to, what is not padding; a sparse list
        gets its ``num_segments`` unless it is given.
        """
        self.checked()
        if self.adj_idx is None:
            num_segments = num_dst if self.num_segments is None else self.num_segments
            return self._replace(num_segments=num_segments)
        real = (self.adj_idx >= 0) & (self.adj_idx < num_src)
        return self._replace(where=real if self.where is None else real & self.where)


def gather_src(inputs: Array, **index: Any) -> Array:
    """Values of the sources: ``[..., n, k, …]`` for dense lists, ``[..., p, …]`` for sparse ones.

    Args:
      inputs: ``[..., sources, …]``.
      **index: The list: ``adj_idx`` or ``src_idx``.

    Raises:
      ValueError: There is not exactly one list, or it does not fit the inputs.
    """
    neighbors = Neighbors(**index).checked()
    if neighbors.adj_idx is not None:
        return take(inputs, neighbors.adj_idx, neighbors.adj_idx.ndim - 2)
    src_idx = required(neighbors.src_idx, "src_idx")
    return take(inputs, src_idx, src_idx.ndim - 1)


def gather_dst(inputs: Array, **index: Any) -> Array:
    """Values of the destinations: ``[..., n, 1, …]`` for dense lists, ``[..., p, …]`` for sparse.

    Args:
      inputs: ``[..., destinations, …]``.
      **index: The list: ``adj_idx`` or ``dst_idx``.

    Raises:
      ValueError: There is not exactly one list, or it does not fit the inputs.
    """
    neighbors = Neighbors(**index).checked()
    if neighbors.adj_idx is not None:
        rows = neighbors.adj_idx.shape[:-1]
        check_leading(inputs, rows, "adj_idx without its last axis")
        return jnp.expand_dims(inputs, len(rows))
    dst_idx = required(neighbors.dst_idx, "dst_idx")
    return take(inputs, dst_idx, dst_idx.ndim - 1)


def dense_pairwise_indices(num: int, mask_self: bool = True) -> Int[Array, "n k"]:
    """Dense list of all pairs, without those of an element and itself if ``mask_self``.

    Raises:
      ValueError: num is not positive.
    """
    if num < 1:
        raise ValueError(f"expected num of at least 1, received {num}")
    pairs = np.broadcast_to(np.arange(num, dtype=np.int32), (num, num))
    if mask_self:
        pairs = pairs[~np.eye(num, dtype=bool)].reshape(num, num - 1)
    return jnp.asarray(pairs)


def sparse_pairwise_indices(
    num: int, mask_self: bool = True
) -> tuple[Int[Array, " p"], Int[Array, " p"]]:
    """Sparse list (destinations, sources) of all pairs, sorted; without loops if ``mask_self``.

    Raises:
      ValueError: num is not positive.
    """
    adj_idx = dense_pairwise_indices(num, mask_self)
    dst_idx = np.repeat(np.arange(num, dtype=np.int32), adj_idx.shape[1])
    return jnp.asarray(dst_idx), adj_idx.reshape(-1)


def dense_to_sparse_indices(
    adj_idx: Int[Array | np.ndarray, "*batch n k"], pad_idx: int | None = None
) -> tuple[Int[Array, "*batch p"], Int[Array, "*batch p"]]:
    """Sparse list (destinations, sources) of a dense one, sorted by destination; not under ``jit``.

    Args:
      adj_idx: Dense list.
      pad_idx: Indices from here on are padding, which is left out; the shorter lists of a batch
        are filled with it. By default the largest index and one more.
    """
    table = np.asarray(adj_idx)
    pad = int(table.max(initial=-1)) + 1 if pad_idx is None else pad_idx
    real = _is_real(table, pad)
    batch, length = table.shape[:-2], int(real.sum(axis=(-2, -1)).max(initial=0))
    dst_idx, src_idx = (np.full((*batch, length), pad, np.int32) for _ in range(2))
    for item in np.ndindex(*batch):
        rows, columns = np.nonzero(real[item])
        dst_idx[item][: len(rows)] = rows
        src_idx[item][: len(rows)] = table[item][rows, columns]
    return jnp.asarray(dst_idx), jnp.asarray(src_idx)


def sparse_to_dense_indices(
    dst_idx: Int[Array | np.ndarray, "*batch p"],
    src_idx: Int[Array | np.ndarray, "*batch p"],
    pad_idx: int | None = None,
) -> Int[Array, "*batch n k"]:
    """Dense list of a sparse one, the sources in their order; not under ``jit``.

    Args:
      dst_idx: Destinations.
      src_idx: Sources.
      pad_idx: Indices from here on are padding, which is left out; it is also the number of rows,
        and what fills them. By default the largest destination and one more, and rows are filled
        with the largest index and one more.

    Raises:
      ValueError: The two have different shapes.
    """
    dst, src = np.asarray(dst_idx), np.asarray(src_idx)
    if dst.shape != src.shape:
        raise ValueError(f"expected indices of one shape, received {dst.shape} and {src.shape}")
    num = int(dst.max(initial=-1)) + 1 if pad_idx is None else pad_idx
    pad = max(num, int(src.max(initial=-1)) + 1) if pad_idx is None else pad_idx
    batch = dst.shape[:-1]
    order = np.argsort(dst, axis=-1, kind="stable")
    dst, src = np.take_along_axis(dst, order, -1), np.take_along_axis(src, order, -1)
    entries = []
    for item in np.ndindex(*batch):
        real = _is_real(dst[item], num) & _is_real(src[item], pad)
        rows = dst[item][real]
        entries.append((item, rows, _place_in_row(rows), src[item][real]))
    longest = max((columns.max(initial=-1) + 1 for _, _, columns, _ in entries), default=0)
    adj_idx = np.full((*batch, num, longest), pad, np.int32)
    for item, rows, columns, sources in entries:
        adj_idx[item][rows, columns] = sources
    return jnp.asarray(adj_idx)


def take(inputs: Array, indices: Array, num_batch: int) -> Array:
    """``inputs[..., indices, …]`` over leading axes of a batch; zero at padding.

    Raises:
      ValueError: The leading axes differ.
    """
    check_leading(inputs, indices.shape[:num_batch], "the batch of the index list")
    length = inputs.shape[num_batch] if inputs.ndim > num_batch else 0

    def gather(values: Array, index: Array) -> Array:
        if not length:
            return jnp.zeros((*index.shape, *values.shape[1:]), values.dtype)
        index = scatter.wide(index)
        # Negative indices would count from the end.
        index = jnp.where(index < 0, length, index)
        return values.at[index].get(mode="fill", fill_value=0)

    for _ in range(num_batch):
        gather = jax.vmap(gather)
    return gather(inputs, indices)


def required(value: T | None, name: str) -> T:
    """The value of a keyword that must be there.

    Raises:
      ValueError: It is None.
    """
    if value is None:
        raise ValueError(f"expected {name} for this kind of index list, received None")
    return value


def check_leading(inputs: Array, shape: tuple[int, ...], name: str) -> None:
    """Raises a ValueError if the leading axes of the inputs do not have this shape."""
    if inputs.shape[: len(shape)] != shape:
        raise ValueError(
            f"expected inputs whose first axes are those of {name}, {shape}, received shape "
            f"{inputs.shape}"
        )


def _is_real(indices: np.ndarray, num: int) -> np.ndarray:
    """True where an index is not padding."""
    return (indices >= 0) & (indices < num)


def _place_in_row(rows: np.ndarray) -> np.ndarray:
    """Position of each entry among those of its row; rows are sorted."""
    return np.arange(len(rows)) - np.searchsorted(rows, rows, side="left")
