# ruff: noqa: T201 (a command-line tool prints)
"""A stand-in for neuron-explorer and neuron-profile: documented behaviour and bad manners, no device.

It accepts only what the documented command line accepts, so a wrong call of ours fails here. Manners are
asked for in NEURON_STANDIN, comma-separated:

    serves            `view` ignores --ingest-only and serves for ever after it is done
    headers-only      `view` writes table headers, never rows, and exits 0
    layers              `view` names layers of a model instead of lines of a kernel
    gate=FIFO         `view` writes headers, then waits until FIFO is opened for writing
    strict            undocumented options are refused, as a build without them does
    log-lines         log lines stand on standard output around the answer
    no-ntff           `capture` says it succeeded and writes nothing
    hang              the tool never answers
    busy-port         `view` fails on its port after it has written everything
    fail=NAME         the tool fails with one of FAILURES
"""

import hashlib
import json
import os
import signal
import sys
from pathlib import Path

from standin import accepted

FAILURES = {
    "oom": "ERRO[0003] nrt_tensor_allocate: failed to allocate 5368709120 bytes on nd0 (NRT_RESOURCE)",
    "version": "FATA[0000] NTFF version 4 is not supported in this version of the tool (supported: 1 - 3)",
    "uuid": "FATA[0001] NEFF/NTFF UUID mismatch",
    "disk": "FATA[0004] write Instruction.parquet: no space left on device",
    "dge": "ERROR TDRV:exec_poll Timeout polling for async exec completion on nc 0, waited 2 minutes",
    "nan": "WARN[0002] execution completed with numerical error (NaN)",
    "incomplete": "ERRO[0009] ERROR_PROCESS_INCOMPLETE",
    "busy": "FATA[0001] logical neuron core not available: already in use by pid 4242",
}


class Refused(Exception):
    """A call the documented command line does not accept."""


def main(name: str, words: list[str]) -> int:
    """Behave as `name` called with `words`."""
    version = os.environ.get("NEURON_STANDIN_VERSION", "2.31.15.0")
    if words in (["--version"], ["-v"]):
        print(f"{name} version {version}%kaena-tools/{version[:4]}@f1c114a")
        return 0
    command = {"capture": _capture, "view": _view}.get(words[0] if words else "")
    if command is None:
        print(f"Unknown command `{' '.join(words[:1])}'", file=sys.stderr)
        return 1
    if "hang" in manners():
        signal.pause()
    try:
        return command(name, words[1:], version)
    except Refused as refusal:
        print(refusal, file=sys.stderr)
        return 1


def manners() -> dict[str, str]:
    """What NEURON_STANDIN asks for, by name."""
    words = filter(None, os.environ.get("NEURON_STANDIN", "").split(","))
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def parse(words: list[str], options: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """Options and positional words; raises on anything the reference does not list."""
    values: dict[str, str] = {}
    positional: list[str] = []
    rest = iter(words)
    for word in rest:
        option, joined, value = word.partition("=")
        if not word.startswith("-"):
            positional.append(word)
        elif option not in options:
            raise Refused(f"unknown flag `{option.lstrip('-')}'")
        elif options[option] == accepted.FLAG and joined:
            raise Refused(f"bool flag `{option.lstrip('-')}' cannot have an argument")
        elif options[option] == accepted.FLAG:
            values[option] = ""
        else:
            values[option] = value if joined else _next(rest, option)
    return values, positional


def _next(rest: "object", option: str) -> str:
    value = next(rest, None)  # type: ignore[call-overload]
    if value is None or str(value).startswith("-"):
        raise Refused(f"expected argument for flag `{option.lstrip('-')}'")
    return str(value)


def _fail_if_asked(moment: str) -> None:
    failure = manners().get("fail", "")
    name, _, when = failure.partition("@")
    if failure and when in ("", moment):
        raise Refused(FAILURES[name])


def make_neff(path: Path, name: str, inputs: tuple[str, ...] = ()) -> Path:
    """A NEFF of the stand-in's own format."""
    uuid = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"neff": name, "uuid": uuid, "inputs": inputs}))
    return path


def make_ntff(path: Path, neff: Path, execution: int) -> Path:
    """An NTFF of one execution of a NEFF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"ntff": 6, "uuid": _neff(neff)["uuid"], "execution": execution}))
    return path


def _neff(path: Path) -> dict[str, object]:
    if not path.is_file():
        raise Refused(f"FATA[0000] open {path}: no such file or directory")
    try:
        content = dict(json.loads(path.read_text()))
    except ValueError:
        raise Refused(f"FATA[0000] {path}: invalid NEFF header") from None
    return content


def _capture(name: str, words: list[str], version: str) -> int:
    values, positional = parse(words, accepted.CAPTURE)
    neff_path = Path(values.get("-n") or values.get("--neff") or "file.neff")
    session = Path(values.get("-s") or values.get("--session-file") or "profile.ntff")
    neff = _neff(neff_path)
    _check_inputs(positional, neff, values)
    nth = int(values.get("--profile-nth-exec", "1"))
    executions = max(int(values.get("--num-exec", "1")), nth)
    if "--single-io" not in values:
        _fail_if_asked("capture")
    if "nan" in manners():
        print(FAILURES["nan"])
    if "no-ntff" not in manners():
        for rank in _ranks(values):
            for execution in range(nth, executions + 1, nth):
                suffix = f"{rank}_exec_{execution}" if execution > 1 else rank
                make_ntff(session.with_name(f"{session.stem}{suffix}.ntff"), neff_path, execution)
    print("INFO[0001] capture done")
    return 1 if "nan" in manners() and "--ignore-exec-errors" not in values else 0


def _check_inputs(positional: list[str], neff: dict[str, object], values: dict[str, str]) -> None:
    if len(positional) % 2:
        raise Refused("FATA[0000] inputs must be given as <NAME> <FILE_PATH> pairs")
    if positional and ("-m" in values or "--multi-input" in values):
        raise Refused("FATA[0000] --multi-input cannot be used together with positional inputs")
    for tensor, file in zip(positional[::2], positional[1::2], strict=True):
        if tensor not in neff["inputs"]:  # type: ignore[operator]
            raise Refused(f"FATA[0000] no input named {tensor} in the NEFF")
        if not Path(file).is_file():
            raise Refused(f"FATA[0000] open {file}: no such file or directory")


def _ranks(values: dict[str, str]) -> list[str]:
    workers = values.get("-r") or values.get("--collectives-workers-per-node")
    if workers is None:
        return [""]
    chosen = values.get("-i") or values.get("--collectives-profile-id") or "all"
    return [f"_rank_{rank}" for rank in (range(int(workers)) if chosen == "all" else [int(chosen)])]


def _view(name: str, words: list[str], version: str) -> int:
    seen = {} if "strict" in manners() or name == "neuron-profile" else accepted.SEEN
    values, positional = parse(words, accepted.VIEW[name] | seen)
    if positional:
        raise Refused(f"unexpected argument {positional[0]}")
    neff_path = Path(values.get("-n") or values.get("--neff") or values.get("--neff-path") or "file.neff")
    ntff_path = Path(values.get("-s") or values.get("--session-file") or "profile.ntff")
    uuid = str(_neff(neff_path)["uuid"])
    _fail_if_asked("view")
    if uuid != _neff(ntff_path)["uuid"]:
        raise Refused(FAILURES["uuid"])
    form = values.get("--output-format", "parquet" if name == "neuron-explorer" else "db")
    if form not in accepted.FORMATS[name]:
        hint = "please use neuron-explorer" if form == "parquet" else f"invalid value `{form}'"
        raise Refused(f"FATA[0000] {hint}")
    return _written(form, values, uuid, version)


def _written(form: str, values: dict[str, str], uuid: str, version: str) -> int:
    from standin import tables  # heavy: only when there is something to write

    if form == "summary-json":
        if "log-lines" in manners():
            print("WARN[0000] NeuronCore buffer usage simulation is disabled [summary-json] {skipped}")
        print(json.dumps({f"n_{uuid}": tables.summary(version)}))
        if "log-lines" in manners():
            print("INFO[0003] done")
        return 0
    if form == "json":
        Path(values.get("--output-file", "ntff.json")).write_text(tables.legacy_json(uuid, version))
        return 0
    if form != "parquet":
        raise Refused(f"the stand-in does not write {form}")
    return _parquet(values, uuid, version)


def _parquet(values: dict[str, str], uuid: str, version: str) -> int:
    from standin import tables

    folder = Path(values.get("--output-file", "."))
    folder.mkdir(parents=True, exist_ok=True)
    content = tables.rows(uuid, version)
    for name in (*content, "Summary"):
        tables.write(folder, name, [])
    print("INFO[0001] processing started", flush=True)
    asked = manners()
    if "layers" in asked:
        content["Instruction"] = tables.of_a_model(content["Instruction"])
    if "headers-only" in asked:
        return 0
    if "gate" in asked:
        Path(asked["gate"]).open("rb").close()
    for name, data in content.items():
        tables.write(folder, name, data)
    tables.write(folder, "Summary", [tables.summary(version)])
    if "--processing-status-file" in values:
        status = {"status_code": 0, "profiles": [{"status": "success"}]}
        Path(values["--processing-status-file"]).write_text(json.dumps(status))
    print("INFO[0002] Processing for standin is complete", flush=True)
    if "busy-port" in asked:
        print("FATA[0002] listen tcp :3002: bind: address already in use", file=sys.stderr)
        return 1
    if "serves" in asked or "--ingest-only" not in values:
        print("View a list of profiles at http://localhost:3001/", flush=True)
        while True:
            signal.pause()
    return 0
