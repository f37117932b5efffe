"""Opcodes that execution time does not count, so that the fixed envelope of a profile stays out of it."""

from __future__ import annotations

# aws-neuron/nki-library, ActiveInferenceTime; MODIFY_POOL_CONFIG as newer tools' total_exec_time.
NOT_EXECUTION = frozenset(
    {
        *("NOP", "SET_ORDERING_MODE", "EVENT_SEMAPHORE", "EVENT_SEMAPHORE_RANGE_CLEAR", "NOTIFY"),
        *("COMPARE_BRANCH", "DRAIN", "WRITE", "TENSOR_LOAD", "MODIFY_POOL_CONFIG"),
    }
)
