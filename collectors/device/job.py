"""A request on a machine: its folders, the environment and the spec of its child processes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collectors.device.children import Heard, Report, run_child
from collectors.device.environment import base_environment
from collectors.device.host import Host
from collectors.device.settings import Settings
from collectors.request import ProfileRequest

MODEL = "collectors.device.model"
SOURCE_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Job:
    """A request on a machine: folders, environment and the spec the child programs read."""

    request: ProfileRequest
    settings: Settings
    host: Host
    report: Report
    run_id: str
    sources: Mapping[str, str]

    @property
    def key(self) -> str:
        """Content hash of what determines the compiled model."""
        return content_key(
            self.sources,
            dict(self.request.kernels),
            self.request.seq_len,
            self.request.batch,
            self.request.target,
            dict(self.host.packages),
            str(self.settings.model_path),
        )

    @property
    def model_folder(self) -> Path:
        """Where the compiled model stays between runs."""
        return self.settings.work / "models" / self.key

    @property
    def run_folder(self) -> Path:
        """Logs, specs, NEFFs and NTFFs of this run."""
        return self.settings.work / "runs" / self.run_id

    def spec(self, model_folder: Path, **extra: Any) -> dict[str, Any]:
        """What a child program is told."""
        contest = self.settings.contest_dir
        return {
            "contest_dir": str(contest) if contest else None,
            "contest_module": self.settings.contest_module,
            "kernels": dict(self.request.kernels),
            "model_path": str(self.settings.model_path),
            "compiled_path": f"{model_folder / 'compiled'}/",
            "seq_len": self.request.seq_len,
            "batch": self.request.batch,
            "prompt": self.request.prompt.text,
            "flags": {},
            **extra,
        }

    def environment(self, model_folder: Path) -> dict[str, str]:
        """The environment of a pass that does not profile."""
        return base_environment(
            self.host.environ, target=self.request.target, work=model_folder, source=SOURCE_ROOT
        )

    def child(self, name: str, spec: Mapping[str, Any], environ: Mapping[str, str]) -> Heard:
        """Run one pass of the model program."""
        return run_child(
            MODEL,
            [name],
            spec,
            python=self.host.interpreter,
            environ=environ,
            folder=self.run_folder,
            report=self.report,
        )


def model_sources(settings: Settings) -> Mapping[str, str]:
    """Text of every file that decides what the model does, by name."""
    if settings.contest_dir:
        files = sorted(settings.contest_dir.glob("*.py"))
        root = settings.contest_dir
    else:
        files = [SOURCE_ROOT / "qwen.py", *sorted((SOURCE_ROOT / "kernels").glob("*.py"))]
        root = SOURCE_ROOT
    return {str(path.relative_to(root)): path.read_text("utf-8") for path in files if path.is_file()}


def content_key(*parts: Any) -> str:
    """A short SHA-256 of JSON-like values."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def text_digest(text: str) -> str:
    """SHA-256 of a source text."""
    return hashlib.sha256(text.encode()).hexdigest()
