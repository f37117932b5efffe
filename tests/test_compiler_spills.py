"""What the first dialect's compiler saves and loads again when SBUF is too small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from collectors.simulated.tables import profile_of
from simulator.api import Simulation, simulate
from simulator.compiler.spills import spill_bytes
from simulator.errors import KernelRefused
from simulator.kernel_ref import KernelRef
from simulator.machine.facts import machine
from simulator.nki.capacity import peak_of, uses_of

KERNELS = """
from neuronxcc import nki
import neuronxcc.nki.language as nl

@nki.jit
def kept(x, tiles):
    # Every tile is made before the first is needed again.
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    one = nl.load(x)
    made = [nl.add(one, float(t)) for t in range(tiles)]
    total = nl.add(made[0], made[1])
    for tile in made[2:]:
        total = nl.add(total, tile)
    nl.store(out, total)
    return out

@nki.jit
def loaded(x):
    # Loaded tiles are wanted twice, far apart.
    out = nl.ndarray((128, x.shape[1]), dtype=x.dtype, buffer=nl.shared_hbm)
    tiles = [nl.load(x[k * 128:(k + 1) * 128, :]) for k in range(x.shape[0] // 128)]
    total = nl.add(tiles[0], tiles[1])
    for tile in (*tiles[2:], *tiles):
        total = nl.add(total, tile)
    nl.store(out, total)
    return out
"""
WIDTH = 8192
"""Columns of fp32: 32 KiB a partition, six of which SBUF holds."""
TILE_BYTES = 128 * WIDTH * 4
ROOM = int(machine("trn2").onchip.sbuf_partition_bytes)


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("spilling") / "kernels.py"
    path.write_text(KERNELS)
    return path


def made(kernels: Path, *, tiles: int, width: int = WIDTH) -> Simulation:
    arguments = {"x": np.zeros((128, width), np.float32), "tiles": tiles}
    return simulate(KernelRef("kept", file=str(kernels)), arguments, target="trn2", lnc=1, values=False)


def moved(simulation: Simulation) -> dict[str, int]:
    found: dict[str, int] = {}
    for instruction in simulation.trace.cores[0]:
        for name, size in spill_bytes(instruction).items():
            found[name] = found.get(name, 0) + size
    return found


def test_a_kernel_that_fits_spills_nothing(kernels: Path) -> None:
    fits = made(kernels, tiles=4)
    assert moved(fits) == {}
    assert not fits.trace.warnings
    assert "spill_save_bytes" not in profile_of(fits, "p").raw


def test_what_does_not_fit_is_saved_once_and_loaded_again_once(kernels: Path) -> None:
    few, many = made(kernels, tiles=8), made(kernels, tiles=12)
    assert moved(few)["spill_save_bytes"] == moved(few)["spill_reload_bytes"] > 0
    assert moved(many)["spill_save_bytes"] - moved(few)["spill_save_bytes"] == 4 * TILE_BYTES
    core = many.trace.cores[0]
    assert peak_of(uses_of(core), many.trace.tensors, "sbuf")[0] <= ROOM
    assert [i.index for i in core] == list(range(len(core)))


def test_a_spill_takes_time_and_shows_as_neuron_explorer_shows_it(kernels: Path) -> None:
    spilling = made(kernels, tiles=12)
    profile = profile_of(spilling, "p")
    assert profile.raw["spill_save_bytes"] == moved(spilling)["spill_save_bytes"]
    rows = profile.tables["Instruction"].to_pylist()
    assert sum(row["spill_reload_bytes"] for row in rows) == moved(spilling)["spill_reload_bytes"]
    queues = {t.queue for t in spilling.list_scheduled.transfers}
    assert {"qScalarSpillReload0", "qSyncSpillReload0"} <= queues
    # Every byte crosses the 16 DMA engines twice, which no schedule hides: the adds take a fifth of it.
    alone = (profile.raw["spill_save_bytes"] + profile.raw["spill_reload_bytes"]) / (16 * 27.2)
    assert spilling.list_scheduled.duration_ns > alone


def test_a_warning_names_the_tiles_that_were_spilled(kernels: Path) -> None:
    [warning] = made(kernels, tiles=8).trace.warnings
    assert "kernels.py:10" in warning
    assert "bytes saved to HBM" in warning


def test_a_tile_that_was_only_loaded_is_loaded_again_and_never_saved(kernels: Path) -> None:
    arguments = {"x": np.zeros((128 * 9, WIDTH), np.float32)}
    found = simulate(KernelRef("loaded", file=str(kernels)), arguments, target="trn2", lnc=1, values=False)
    assert set(moved(found)) == {"spill_reload_bytes"}
    reads = sum(
        i.transfer.bytes for i in found.trace.cores[0] if i.transfer and i.transfer.source_memory == "hbm"
    )
    assert reads == 9 * TILE_BYTES + moved(found)["spill_reload_bytes"]


def test_an_instruction_that_fits_in_no_memory_is_refused(kernels: Path) -> None:
    with pytest.raises(KernelRefused, match="one instruction needs"):
        made(kernels, tiles=3, width=32_000)
