"""What a machine's owner settles once, in the environment, and not with every command."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from collectors.device.environment import DeviceProfile
from collectors.errors import UsageError

MODEL_PATH = "~/Qwen3-30B-A3B/hf_model"
PROFILE_MODES = ("model", "session", "off")
TENSOR_PARALLEL = 4


@dataclass(frozen=True)
class Settings:
    """Where things are and how a device is profiled.

    `device_profile` is the runtime's mode ("off" keeps the timing pass alone); `profile_tokens` how many
    tokens the profiling pass generates; `keep` leaves processed tables in place for a look.
    """

    work: Path
    model_path: Path
    contest_dir: Path | None = None
    contest_module: str = "qwen_with_nki"
    device_profile: DeviceProfile = "model"
    dge_notifications: bool = False
    profile_tokens: int = 4
    keep: bool = False


def settings_from(environ: Mapping[str, str] | None = None, contest_dir: Path | None = None) -> Settings:
    """Settings from NKI_DASHBOARD_* variables; `contest_dir` is what the command was given.

    NKI_DASHBOARD_WORK_DIR, _MODEL_PATH, _CONTEST_MODULE, _DEVICE_PROFILE (model, session, off), _DGE (0, 1),
    _KEEP (0, 1). Raises `UsageError` for a value that means nothing.
    """
    given = os.environ if environ is None else environ
    mode = given.get("NKI_DASHBOARD_DEVICE_PROFILE", "model")
    if mode not in PROFILE_MODES:
        raise UsageError(
            f"NKI_DASHBOARD_DEVICE_PROFILE is {mode!r}.",
            f"Use one of {', '.join(PROFILE_MODES)}, or unset it.",
        )
    work = given.get("NKI_DASHBOARD_WORK_DIR", str(Path(tempfile.gettempdir()) / "nki-dashboard"))
    return Settings(
        work=Path(work).expanduser().absolute(),
        model_path=Path(given.get("NKI_DASHBOARD_MODEL_PATH", MODEL_PATH)).expanduser(),
        contest_dir=contest_dir.absolute() if contest_dir else None,
        contest_module=given.get("NKI_DASHBOARD_CONTEST_MODULE", "qwen_with_nki"),
        device_profile=cast(DeviceProfile, mode),
        dge_notifications=given.get("NKI_DASHBOARD_DGE", "0") == "1",
        keep=given.get("NKI_DASHBOARD_KEEP", "0") == "1",
    )
