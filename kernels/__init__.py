"""NKI kernels for a Qwen3-MoE decoder layer: one module per slot, the variants of a slot side by side.

Kernel modules import `nki`, so they are imported only on a device or inside the simulator. `registry`,
`references`, `checks` and `small_model` are ordinary Python.
"""
