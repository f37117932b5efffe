"""How long `collectors profile --prompt 3` takes, nothing cached and everything cached, and its peak memory.

    python benchmarks/profile_prompt.py

Figures to reach on 2 cores: at most 60 s and 4 GB with nothing cached; at most 5 s with everything cached.
The ratio (cached / uncached) is what to watch: it compares two runs of one command on one machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Cost:
    """Wall seconds, and the peak of the summed resident memory of the whole process tree in bytes."""

    seconds: float
    peak_bytes: int


def resident(process: psutil.Process) -> int:
    """Summed resident bytes of `process` and its descendants; a process that is gone counts nothing."""
    total = 0
    try:
        for member in [process, *process.children(recursive=True)]:
            try:
                total += member.memory_info().rss
            except psutil.Error:
                continue
    except psutil.Error:
        return total
    return total


def profile(kernels: str, folder: Path) -> Cost:
    """Run the command once with its cache and database in `folder`."""
    command = [sys.executable, "-m", "collectors", "profile", "--prompt", "3", "--kernels", kernels]
    command += ["--db", str(folder / "runs.db"), "--json"]
    environment = os.environ | {"NKI_DASHBOARD_CACHE": str(folder / "cache")}
    started = time.perf_counter()
    with (folder / "out.json").open("w") as out, (folder / "err.txt").open("w") as err:
        running = subprocess.Popen(command, env=environment, stdout=out, stderr=err)
        watched, peak = psutil.Process(running.pid), 0
        while running.poll() is None:
            peak = max(peak, resident(watched))
            time.sleep(0.1)
    if running.returncode:
        raise SystemExit((folder / "err.txt").read_text())
    return Cost(time.perf_counter() - started, peak)


def main() -> None:
    """Print one row per kernel preset."""
    print(f"{'kernels':10} {'uncached s':>11} {'peak GB':>8} {'cached s':>9} {'cached/uncached':>16}")
    for kernels in ("baseline", "tuned"):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            first, second = profile(kernels, folder), profile(kernels, folder)
        print(
            f"{kernels:10} {first.seconds:11.1f} {first.peak_bytes / 1e9:8.2f} {second.seconds:9.1f} "
            f"{second.seconds / first.seconds:16.3f}"
        )


if __name__ == "__main__":
    main()
