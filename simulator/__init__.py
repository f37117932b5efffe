"""A NeuronCore on paper: executes NKI kernels on NumPy and says how long the hardware would take.

`simulate` is the one call the collectors need; see `simulator.api`.
"""
