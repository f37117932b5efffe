"""What a compiler moved because SBUF was too small."""

from __future__ import annotations

from collectors.records import Profile


def spilled(profile: Profile) -> tuple[int, int] | None:
    """(bytes saved to HBM, bytes loaded again) of a profile; None where nothing was spilled.

    Neuron Explorer leaves the figures out where they are zero, and so does the simulator.
    """
    saved, loaded = (int(profile.raw.get(f"spill_{way}_bytes") or 0) for way in ("save", "reload"))
    return (saved, loaded) if saved or loaded else None
