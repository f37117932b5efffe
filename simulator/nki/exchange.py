from __future__ import annotations
from simulator.nki.tracer import current, emit, free_elements
from simulator.trace import Transfer


def _meet(payload):
    p = current()
    h = p.launch.handover
    c = p.core
    p.exchanges += 1
    rid = p.exchanges
    if p.launch.lnc == 1:
        return rid, [payload]
    with h.condition:
        h.payloads[rid, c] = payload
        if (rid, 1 - c) not in h.payloads:
            if h.done[1 - c]:
                raise h.refuse(p)
            h.turn = 1 - c
            h.condition.notify_all()
            h.condition.wait_for(lambda: h.turn == c or h.failed is not None)
            if h.failed is not None:
                raise h.failed
            if (rid, 1 - c) not in h.payloads:
                raise h.refuse(p)
    return rid, [h.payloads[rid, 0], h.payloads[rid, 1]]


def sendrecv(src, dst, send_to_rank, recv_from_rank, pipe_id, dma_engine=None, name=None):
    rid, got = _meet(src.array.copy())
    if current().launch.values:
        dst.array[...] = got[int(recv_from_rank)].reshape(dst.array.shape).astype(dst.array.dtype)
    n = src.array.shape[0]
    t = Transfer(
        src.array.nbytes, n, src.array.nbytes / n, n, "sbuf", "sbuf", "swdge", False, False, "qGpsimdDynamic"
    )
    return emit(
        "sendrecv",
        "SENDRECV",
        "gpsimd",
        (dst,),
        (src,),
        free_elements(src),
        name=name,
        transfer=t,
        rendezvous=rid,
    )


def core_barrier(data, cores, engine=None, name=None):
    rid, _ = _meet(None)
    return emit("core_barrier", "CORE_BARRIER", "gpsimd", (), (data,), 1, name=name, rendezvous=rid)
