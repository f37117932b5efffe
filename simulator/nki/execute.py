from __future__ import annotations
import threading, traceback, linecache, inspect
from typing import Any
import numpy as np
from simulator.errors import BadKernel, KernelRefused, SimulatorError
from simulator.nki.tensor import NkiTensor, Storage
from simulator.nki.tracer import Launch, Program, set_current
from simulator.trace import Trace


def execute(kernel, arguments, *, target, lnc, values=True, record=True):
    from simulator.dialect import load

    f = kernel if callable(kernel) else load(kernel)
    f = getattr(f, "func", f)
    launch = Launch(target, lnc, values=values, record=record)
    bound = {}
    for n, v in arguments.items():
        if isinstance(v, np.ndarray):
            a = np.ascontiguousarray(v)
            st = Storage(a, "hbm", n, filled=True, core=None)
            st.role = "input"
            launch.add_storage(st)
            bound[n] = NkiTensor(st, st.data, "shared_hbm", None)
        else:
            bound[n] = v
    results = [None] * lnc

    def run(core):
        h = launch.handover
        set_current(Program(launch, core))
        try:
            with h.condition:
                h.condition.wait_for(lambda: h.turn == core or h.failed is not None)
            if h.failed is None:
                results[core] = f(**bound)
        except BaseException as e:
            h.failed = h.failed or e
            if isinstance(e, KernelRefused) and not e.file:
                for fr in reversed(traceback.extract_tb(e.__traceback__)):
                    if "/nki/" not in fr.filename and "simulator" not in fr.filename:
                        e.file, e.line = fr.filename, fr.lineno
                        break
        finally:
            set_current(None)
            with h.condition:
                h.done[core] = True
                if lnc == 2:
                    h.turn = 1 - core
                h.condition.notify_all()

    if lnc == 1:
        run(0)
    else:
        ts = [threading.Thread(target=run, args=(c,)) for c in range(lnc)]
        for t in ts:
            t.start()
        for t in ts:
            t.join()
    if launch.handover.failed:
        raise launch.handover.failed
    out = results[0]
    outs = () if out is None else out if isinstance(out, tuple) else (out,)
    for o in outs:
        launch.tensors[o.storage.id].role = "output"
    files = {}
    for s in launch.sources:
        if s.file not in files:
            files[s.file] = "".join(linecache.getlines(s.file))
    return Trace(
        getattr(f, "__name__", "kernel"),
        target,
        lnc,
        launch.cores,
        launch.tensors,
        launch.sources,
        files,
        tuple(o.array for o in outs),
        tuple(o.storage.id for o in outs),
    )
