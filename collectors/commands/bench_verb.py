"""`collectors bench`: latency percentiles of one kernel on the device."""

from __future__ import annotations

import secrets
import sys
from typing import Annotated

import typer

from collectors.commands.options import Cores, ImportPaths, Json, KernelArguments, Seed, Target
from collectors.commands.screen import output, progress

Place = Annotated[
    str, typer.Option("--kernel", help="The kernel, as FILE.py::FUNCTION.", metavar="FILE.py::FUNCTION")
]


def bench(
    kernel: Place,
    arg: KernelArguments = None,
    path: ImportPaths = None,
    warmup: Annotated[int, typer.Option(min=0, help="Executions before the clock starts.")] = 10,
    repeat: Annotated[int, typer.Option(min=1, help="Executions under the clock.")] = 100,
    target: Annotated[Target, typer.Option(help="The NeuronCore at hand.")] = Target.trn3,
    lnc: Cores = 2,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Time one kernel on the device: percentiles with intervals, every sample with --json.

    Example: collectors bench --kernel kernels/rmsnorm.py::rmsnorm --arg x='bf16[128,2048]' …
    """
    from collectors.commands.bench import bench_json, bench_table
    from collectors.commands.profile import kernel_request
    from collectors.device import require_device
    from collectors.device.bench import bench as timed

    session = secrets.token_hex(4)
    request = kernel_request(
        kernel, arg or [], target.value, lnc, seed, session=session, repeat=repeat, paths=path or ()
    )
    require_device()
    with progress("timing"):
        result = timed(request, warmup=warmup, repeat=repeat)
    if json:
        sys.stdout.write(bench_json(result) + "\n")
    else:
        output().print(bench_table(result))
