"""Traces by hand, for tests of costs, timelines and tables."""

from __future__ import annotations

from simulator.trace import (
    Dge,
    Engine,
    Instruction,
    Memory,
    Operation,
    Region,
    Source,
    Tensor,
    Trace,
    Transfer,
)


class Kernel:
    """Collects tensors and instructions of up to two cores; `trace()` ends it."""

    def __init__(self, target: str = "trn2", lnc: int = 1) -> None:
        self.target = target
        self.lnc = lnc
        self.tensors: list[Tensor] = []
        self.cores: list[list[Instruction]] = [[] for _ in range(lnc)]

    def tensor(
        self, memory: Memory, row_bytes: int, *, rows: int = 128, role="scratch", core=0, address=None
    ) -> int:
        number = len(self.tensors)
        shape = (rows, row_bytes // 2)
        name = f"t{number}"
        where = None if memory == "hbm" else core
        made = Tensor(number, name, memory, shape, "bfloat16", rows, row_bytes, where, role, address)
        self.tensors.append(made)
        return number

    def all_of(self, tensor: int) -> Region:
        made = self.tensors[tensor]
        return Region(tensor, 0, made.rows, 0, made.bytes_per_row)

    def add(
        self,
        engine: Engine,
        call: str,
        elements: int = 512,
        *,
        reads: tuple[Region | int, ...] = (),
        writes: tuple[Region | int, ...] = (),
        dtype: str = "float32",
        core: int = 0,
        transfer: Transfer | None = None,
        after: tuple[int, ...] = (),
        rendezvous: int | None = None,
        no_reorder: bool = False,
        partitions: int = 128,
        macs: int = 0,
        **attributes: object,
    ) -> int:
        where = [r if isinstance(r, Region) else self.all_of(r) for r in (*writes, *reads)]
        memories = tuple(self.tensors[r.tensor].memory for r in where)
        made = Instruction(
            index=len(self.cores[core]),
            core=core,
            operation=Operation(
                engine=engine,
                call=call,
                opcode=call.upper(),
                partitions=partitions,
                elements=elements,
                dtypes=(dtype,) * len(where),
                memories=memories,
                attributes=attributes,
                macs=macs,
            ),
            reads=tuple(where[len(writes) :]),
            writes=tuple(where[: len(writes)]),
            source=0,
            transfer=transfer,
            after=after,
            rendezvous=rendezvous,
            no_reorder=no_reorder,
        )
        self.cores[core].append(made)
        return made.index

    def load(
        self, source: int, target: int, *, engine: Engine = "sync", dge: Dge = "hwdge", core: int = 0, **more
    ) -> int:
        return self.move(source, target, engine=engine, dge=dge, core=core, **more)

    def move(
        self,
        source: int | Region,
        target: int | Region,
        *,
        engine: Engine = "sync",
        dge: Dge = "hwdge",
        core: int = 0,
        queue: str = "",
        rendezvous: int | None = None,
    ) -> int:
        read = source if isinstance(source, Region) else self.all_of(source)
        write = target if isinstance(target, Region) else self.all_of(target)
        on_chip = write if self.tensors[write.tensor].memory != "hbm" else read
        rows, size = on_chip.row1 - on_chip.row0, on_chip.byte1 - on_chip.byte0
        moved = Transfer(
            bytes=rows * size,
            descriptors=rows,
            descriptor_bytes=size,
            partitions=rows if self.tensors[on_chip.tensor].memory != "hbm" else 0,
            source_memory=self.tensors[read.tensor].memory,
            target_memory=self.tensors[write.tensor].memory,
            dge=dge,
            queue=queue,
        )
        return self.add(
            engine,
            "dma_copy",
            reads=(read,),
            writes=(write,),
            core=core,
            transfer=moved,
            rendezvous=rendezvous,
        )

    def trace(self) -> Trace:
        return Trace(
            "by_hand",
            self.target,
            self.lnc,
            self.cores,
            self.tensors,
            [Source("kernel.py", 1, "by_hand")],
            {},
        )
