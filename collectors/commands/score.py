"""`collectors score`: points of every prompt by both formulas, and what of them hangs on the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from collectors.commands.options import Database, Json, RunName, open_store
from collectors.commands.screen import number, output, percent, print_json, table
from collectors.errors import UsageError
from collectors.records import Run

if TYPE_CHECKING:
    from analysis.estimate import Estimate
    from analysis.score import Points
    from analysis.whatif import Scenario

COLUMNS = (
    "prompt",
    "host",
    "host ms/token",
    "host %",
    "end to end ms",
    "tokens/s",
    "points, final",
    "points, first",
)


def score(run: RunName = "latest", db: Database = None, json: Json = False) -> None:
    """Score a run and the other prompts of its command: as run, with the host at its least, and without it.

    Example: collectors score latest
    """
    store = open_store(db)
    found = store.load(store.resolve(run))
    if found.prompt is None:
        raise UsageError(f"{found.label} is no run of a prompt, so it has no points", "name a prompt's run")
    from analysis.whatif import prompts_of, scenarios

    together = prompts_of(store.runs(), found)
    if json:
        print_json({"label": found.label, "prompts": [_as_object(each) for each in together]})
        return
    shown = [(each, scenarios(each)) for each in together]
    screen = output()
    screen.print(f"{found.label}  {found.target} LNC{found.lnc}  {found.provenance}", markup=False)
    screen.print(table(COLUMNS, [_row(each, one) for each, made in shown for one in made], left=2))
    for text in _notes(shown):
        screen.print(text, soft_wrap=True, markup=False)


def _as_object(run: Run) -> dict[str, object]:
    from analysis.whatif import scenarios

    return {
        "run_id": run.run_id,
        "prompt": run.prompt,
        "provenance": run.provenance,
        "scenarios": scenarios(run),
    }


def _row(run: Run, one: Scenario) -> list[str]:
    host, whole = one.host_ns, one.e2e_ns
    share = host.value / whole.value if host and whole and whole.value else None
    tokens = (run.new_tokens or 0) * run.batch
    return [
        str(run.prompt),
        one.name,
        number(host.value / 1e6 / tokens if host and tokens else None),
        percent(share),
        _ms(whole),
        number(one.tokens_per_s.value if one.tokens_per_s else None),
        _points(one.points["final"]),
        _points(one.points["first"]),
    ]


def _ms(time: Estimate | None) -> str:
    return number(time.value / 1e6 if time else None)


def _points(found: Points) -> str:
    if found.value is None:
        return "—"
    between = "" if found.low is None else f" [{number(found.low)}–{number(found.high)}]"
    return f"{number(found.value)}{between}"


def _notes(shown: Sequence[tuple[Run, Sequence[Scenario]]]) -> list[str]:
    """How the host's part was had, each formula, and why there are no points."""
    from analysis.score import NO_TTFT

    told = dict.fromkeys(f"{one.name}: {one.basis}" for _, made in shown for one in made)
    texts = dict.fromkeys(f"{key}: {one.text}" for _, made in shown for key, one in made[0].points.items())
    first = {run.prompt: made[0].points["final"].reason for run, made in shown}
    missing = [f"prompt {prompt} has no points: {reason}" for prompt, reason in first.items() if reason]
    return [*told, *texts, f"first: {NO_TTFT}", *missing]
