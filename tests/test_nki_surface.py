"""The table of what is executed is generated, and stays in step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simulator.errors import KernelRefused
from simulator.nki.initialised import is_written, mark_written
from simulator.nki.isa.registers import VirtualRegister
from simulator.nki.layout import packed
from simulator.nki.storage import Storage, given
from simulator.nki.surface import table
from simulator.nki.tensor import NkiTensor, whole

DOC = Path(__file__).parents[1] / "docs" / "nki-surface.md"


def tensor(*shape: int, memory: str = "sbuf") -> NkiTensor:
    data = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    storage = given(data, memory, "t", core=0)  # type: ignore[arg-type]
    storage.id = 0
    return whole(storage, memory)


def test_the_documented_surface_is_the_one_the_code_has() -> None:
    assert DOC.read_text(encoding="utf-8") == table()


def test_views_share_storage_and_name_the_same_elements_as_numpy() -> None:
    t = tensor(4, 6)
    assert np.array_equal(t.slice(1, 1, 6, 2).array, t.array[:, 1:6:2])
    assert np.array_equal(t.select(1, 2).array, t.array[:, 2:3])
    assert np.array_equal(t[2].array, t.array[2:3])
    assert np.array_equal(t.reshape_dim(1, (2, -1)).array, t.array.reshape(4, 2, 3))
    assert t.reshape_dim(1, (2, 3)).flatten_dims(1, 2).shape == (4, 6)
    turned = t.reshape_dim(1, (2, 3)).permute((0, 2, 1))
    assert turned.get_pattern() == [[6, 4], [1, 3], [3, 2]]
    assert not turned.is_contiguous()


def test_a_remembered_form_depends_on_what_an_index_is_worth_and_on_its_type() -> None:
    t, at = tensor(4, 6), VirtualRegister(1)
    assert t[0:4, at:3].shape == (4, 2)
    at.value = 2
    assert np.array_equal(t[0:4, at:3].array, t.array[:, 2:3])
    assert t[0:4, 0:2].shape == (4, 2)
    with pytest.raises(TypeError):
        t[0:4, 0:2.0]


def test_a_reshape_that_would_copy_is_refused_and_one_of_another_size_is_an_error() -> None:
    t = tensor(4, 6)
    with pytest.raises(KernelRefused, match="would need a copy"):
        t.reshape((4, 2, 3))[0:4, 0:2, 0:2].reshape((4, 4))
    with pytest.raises(ValueError, match="24 elements"):
        t.reshape((4, 7))
    with pytest.raises(ValueError, match="24 elements"):
        t.reshape((4, 5, -1))


def test_a_tensor_written_in_parts_is_written_where_its_parts_are() -> None:
    storage = Storage(packed((4, 6), np.dtype(np.float32), "sbuf"), "t", core=0)
    t = whole(storage, "sbuf")
    assert not is_written(t[0:4, 0:2])
    mark_written(t[0:4, 0:2])
    assert is_written(t[0:2, 1:2])
    assert not is_written(t[0:4, 1:3])
    mark_written(t[0:4, 0:2])
    mark_written(t[0:4, 2:6])
    assert storage.filled


def test_rearrange_splits_reorders_and_merges_by_name() -> None:
    t = tensor(4, 6)
    turned = t.rearrange(("p", ("h", "w")), ("p", "w", "h"), {"h": 2})
    assert np.array_equal(turned.array, t.array.reshape(4, 2, 3).transpose(0, 2, 1))
    back = turned.rearrange(("p", "w", "h"), ("p", "h", "w")).rearrange(("p", "h", "w"), ("p", ("h", "w")))
    assert np.array_equal(back.array, t.array)
    with pytest.raises(KernelRefused, match="does not split"):
        t.rearrange(("p", ("h", "w")), ("p", "w", "h"), {"h": 4})
    with pytest.raises(KernelRefused, match="on one side"):
        t.rearrange(("p", "f"), ("p", "g"))


def test_rows_and_an_index_may_come_from_data() -> None:
    table, rows = tensor(5, 3, memory="hbm"), tensor(4, 1)
    rows.array[:, 0] = [4, 0, 4, 1]
    chosen = table.vector_select(0, rows)
    assert np.array_equal(chosen.array, table.array[[4, 0, 4, 1]])
    picked = table.select(0, rows[2:3])
    assert np.array_equal(picked.array, table.array[4])
    assert chosen.is_indirect()
    assert picked.is_indirect()
    assert not table[2].is_indirect()
    with pytest.raises(KernelRefused, match="vector_select on dimension 0"):
        tensor(4, 6).vector_select(0, rows)


def test_a_pattern_outside_its_tensor_is_refused_only_where_it_is_used() -> None:
    view = tensor(4, 6).ap([[6, 4], [1, 6]], offset=3)
    with pytest.raises(KernelRefused, match="leaves tensor 't'"):
        view.array  # noqa: B018 - reading it is the use


def test_a_pattern_may_not_step_inside_a_partition_from_one_to_the_next() -> None:
    with pytest.raises(KernelRefused, match="steps 4 elements over the partitions"):
        tensor(4, 6).ap([[4, 4], [1, 4]])


def test_a_pattern_of_another_dtype_counts_its_elements() -> None:
    halves = tensor(4, 6).ap([[12, 4], [1, 3]], offset=1, dtype="uint16")
    assert np.array_equal(halves.array, tensor(4, 6).array.view(np.uint16)[:, 1:4])


def test_a_region_is_the_box_of_a_view() -> None:
    t = tensor(8, 10)
    assert t[2:5, 3:7].located()[1:] == (2, 5, 12, 28)
    assert t[2:5, 0:10:3].located()[1:] == (2, 5, 0, 40)
    hbm = tensor(3, 4, 5, memory="hbm")
    assert hbm[1:2, 1:3, 2:4].located()[1:] == (5, 7, 8, 16)


def test_an_access_pattern_reads_strides_counts_and_offset() -> None:
    t = tensor(8, 10)
    assert np.array_equal(t.ap([[10, 4], [3, 3]], offset=21).array, t.array[2:6, 1:8:3])
    flat = tensor(4, 8, memory="hbm")
    assert np.array_equal(flat.ap([[0, 3], [1, 8]], offset=8).array, np.repeat(flat.array[1:2], 3, axis=0))
