from __future__ import annotations
import contextlib, importlib, sys


@contextlib.contextmanager
def nki_modules():
    import simulator.nki, simulator.nki.isa, simulator.nki.language

    before = {k: v for k, v in sys.modules.items()}
    sys.modules["nki"] = simulator.nki
    sys.modules["nki.isa"] = simulator.nki.isa
    sys.modules["nki.language"] = simulator.nki.language
    try:
        yield
    finally:
        for k in list(sys.modules):
            if k not in before and (k.startswith("nki") or k.startswith("kernels.")):
                del sys.modules[k]
        for k in ("nki", "nki.isa", "nki.language"):
            sys.modules.pop(k, None)


_cache = {}


def load(ref):
    key = (ref.module, ref.function)
    if key not in _cache:
        with nki_modules():
            _cache[key] = getattr(importlib.import_module(ref.module), ref.function)
    return _cache[key]
