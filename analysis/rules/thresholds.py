"""Every threshold a verdict or a rule uses, each with where it comes from. Fractions 0 to 1, ns, bytes."""

from __future__ import annotations

# Two identical runs on a device differ by about this much (KevGomes1403/nki-moe-megakernel, trn3 logs: "±1
# %").
NOISE_FLOOR = 0.01

# What one simulated kernel errs by on its own, apart from what all simulated kernels err by together: neutral
# reorderings of an instruction stream move measured latency by 3-13 % (same logs), so a simulated difference
# under 5 % of a kernel is not trusted.
SIMULATED_OWN_ERROR = 0.05

# Confidence of every interval from repetitions, and the fewest repetitions one is made from: with two,
# Student's t has one degree of freedom and the interval is 13 times the spread.
CONFIDENCE = 0.95
MIN_REPEATS = 3

# From a transfer's last byte to its consumer's start: about 0.3 us (NKI docs 2.26, DMA overview, profile
# screenshots).
DMA_DONE_NS = 300

# A gap between two instructions of an engine up to this long is its own sequencing: "~100 cycles" of static
# overhead (NKI docs, trainium_inferentia2_arch) at 1.2 GHz.
ISSUE_GAP_NS = 83
