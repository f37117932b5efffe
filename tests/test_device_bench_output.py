"""What `collectors bench` shows."""

import io
import json

from rich.console import Console

from collectors.commands.bench import bench_json, bench_table
from collectors.device.bench import Bench, percentiles

SAMPLES = tuple(1000.0 + n for n in range(50))
RESULT = Bench("double", "nrtpy", "device-side tracing", 5, SAMPLES, percentiles(SAMPLES))


def test_the_table_shows_microseconds_and_says_where_samples_are_too_few() -> None:
    console = Console(file=io.StringIO(), width=120)
    console.print(bench_table(RESULT))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "p50" in shown
    assert "1.024" in shown
    assert shown.count("too few samples") == 1


def test_json_keeps_every_sample_and_its_provenance() -> None:
    said = json.loads(bench_json(RESULT))
    assert said["samples_ns"] == list(SAMPLES)
    assert (said["provenance"], said["repeat"], said["percentiles"][0]["p"]) == ("measured", 50, 0.5)
