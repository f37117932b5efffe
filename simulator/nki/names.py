"""Names of `nki` this machine does not execute, and the releases that have them.

Source: AWS Neuron SDK release notes, components/nki, and the API pages of NKI 0.6 and 0.7.
"""

from __future__ import annotations

from simulator.errors import UnknownName

BETA_1 = "the first dialect (neuronxcc.nki, up to SDK 2.26)"
RELEASES: dict[str, dict[str, str]] = {
    "nki.isa": {
        **dict.fromkeys(
            ("tensor_copy_dynamic_src", "tensor_copy_dynamic_dst"), f"{BETA_1}, removed in NKI 0.4"
        ),
        **dict.fromkeys(("scalar_load", "scalar_store", "NkiScalar", "dependency"), "NKI 0.7"),
    },
    "nki.language": {
        **dict.fromkeys(
            ("par_dim", "arange", "mgrid", "loop_reduce", "spmd_dim", "nc", "static_cast"), BETA_1
        ),
        "average": "NKI 0.6, where no page says what it computes",
    },
    "nki": {
        **dict.fromkeys(("benchmark", "baremetal", "profile", "simulate_kernel"), BETA_1),
        "simulate": "NKI 0.3",
    },
}


def unknown_name(module: str, name: str) -> Exception:
    """The error for `module.name`; dunder names are Python's own business and stay AttributeErrors."""
    if name.startswith("__"):
        return AttributeError(name)
    release = RELEASES.get(module, {}).get(name)
    if release is None:
        return UnknownName(
            f"{module} has no {name!r} in any release up to NKI 0.7",
            "check the spelling; docs/nki-surface.md lists what this machine executes",
        )
    return UnknownName(
        f"{module}.{name} ({release}) is not executed by the simulator",
        "write it with the instructions of docs/nki-surface.md, or profile on a device",
    )
