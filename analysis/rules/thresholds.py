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

# Most gap a launch's engines may leave before it is called latency-bound: no engine active for this share of
# the time (Nsight Compute's SOLBottleneck calls a kernel latency-bound when compute and memory are both under
# 60 %).
BUSY = 0.60

# Descriptors under 512 B are far into the fixed cost of a packet (14 ns for 256 B against 80 ns for 2 KiB in
# public trn2 profiles); "2 KiB per partition recommended", "4 KiB saturates" is NKI docs, DMA bandwidth
# guide.
TINY_DESCRIPTOR_BYTES = 512
SMALL_DESCRIPTOR_BYTES = 2048
GOOD_DESCRIPTOR_BYTES = 4096

# DMA must be active this share of the time before its transfers are worth changing (XProf's 30 % gates on
# data shuffle and collectives).
DMA_MATTERS = 0.30

# One software-generated DMA costs GpSimd about this long: 66,048 static transfers in 39.89 ms (NKI docs,
# matmul tutorial v2); with a dynamic address 1.245 us (KevGomes1403/nki-moe-megakernel, trn2 moe_tkg v5-v7a).
SOFTWARE_DGE_NS = 604
SOFTWARE_DGE_SHARE = 0.30

# Bytes moved over bytes necessary that count as reloading (Neuron Explorer flags spill reloads over 25 % of
# HBM reads).
RELOAD_RATIO = 1.25

# MACs of one MATMUL over those of a full tile (128 x 128 stationary, 512 moving): below this the tensor
# engine spends its time on fixed cost (64-cycle minimum of 512 cycles, NKI docs).
TILE_MACS = 128 * 128 * 512
UNDERFED_TILE = 0.125
TENSOR_MATTERS = 0.30

# fp32 takes 4 cycles a row where bf16 takes 1 (NKI docs, nki.isa.nc_matmul cost).
FP32_SLOWDOWN = 4.0
FP32_SHARE = 0.10

# Multiply-accumulates spent on padding (tokens that are not there) worth a sentence.
PADDING_SHARE = 0.25

# An engine this active beside others this idle serialises the kernel (Nsight Compute, pipe imbalance of 25
# points).
SERIAL_ACTIVE = 0.50
SERIAL_IDLE = 0.25

# Waiting for data, of the busiest engine's time (Nsight Compute CPIStall: one stall over 30 %).
WAITING_SHARE = 0.30

# Imbalance between the two cores of a pair (Nsight Compute WorkloadImbalance: 5 %; doubled, as core times
# here are unions of engine activity).
CORE_IMBALANCE = 0.10

# Mean busy time of the DMA queues over the busiest one's.
QUEUE_BALANCE = 0.50

# ACT_TABLE_LOAD, about 1.3 us each (NKI docs, DMA guide screenshot): share of the launch that is worth a
# sentence.
TABLE_LOAD_SHARE = 0.03

# What a resource costs the launch (time saved were it ideal) that is worth a sentence: as much as two cores'
# imbalance.
COSTLY_SHARE = 0.10

# Host and collectives, of the end-to-end time (XProf: input over 10 % of a step; collectives over 30 %,
# lowered because a decoder layer of this model has two).
HOST_SHARE = 0.10
COLLECTIVE_SHARE = 0.10

# Time under a limit on the tensor engine's rate, of the launch (any is shown by Neuron Explorer).
THROTTLED_SHARE = 0.05

# Opportunities under this share of the end-to-end time are dropped (TraceLens: 0.5 %).
MIN_GAIN_SHARE = 0.005
