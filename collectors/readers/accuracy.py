"""The status text of the challenge's logit validation: what failed, and by how much.

Printed by NxD Inference's `logit_validation`, which main.py calls: the largest error over the tokens for each
number of top logits, against tolerances of 0.05 for all of them and 0.03 for the top 1000, 50 and 5.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from collectors.readers.normalise import number
from collectors.records import Check

SIGN = re.compile(
    r"Test (?:passes|fails) logit validation|Complete Error Summary|Test failed at batch \d+ token"
)
TOLERANCES: Mapping[str, float] = {"null": 0.05, "1000": 0.03, "50": 0.03, "5": 0.03}
DIVERGENCE = 1e-3
_FAILED = re.compile(r"Test fails logit validation|^Validation failed|Test failed at batch", re.MULTILINE)
_PASSED = re.compile(r"Test passes logit validation|^Validation passed", re.MULTILINE)
_DIVERGED = re.compile(r"Divergence difference ([\d.eE+-]+) > ")
_SUMMARY = "Complete Error Summary"


def checks_of(text: str) -> tuple[Check, ...]:
    """A check for every number of top logits, and one for divergence where it was too large.

    Without the error summary there is one check, the verdict; without a verdict there is none.
    """
    verdict = _verdict(text)
    if verdict is None:
        return ()
    errors = _errors(text)
    found = [_of_top(top, error) for top, error in errors.items()]
    if said := _DIVERGED.findall(text):
        worst = max(float(each) for each in said)
        detail = f"Tokens diverge where the logits differ by {worst:g} > {DIVERGENCE:g}."
        found.append(Check("divergence of tokens", None, None, False, worst, DIVERGENCE, detail))
    if not found or all(check.passed for check in found) != verdict:
        detail = "The status text says so without figures that do." if found else ""
        found.insert(0, Check("logit validation", None, None, verdict, None, None, detail))
    return tuple(found)


def _verdict(text: str) -> bool | None:
    if _FAILED.search(text):
        return False
    return True if _PASSED.search(text) else None


def _errors(text: str) -> dict[str, Mapping[str, Any]]:
    """The last error summary's worst error by number of top logits; {} when it is not there or cut off."""
    at = text.rfind(_SUMMARY)
    start = text.find("{", at) if at >= 0 else -1
    if start < 0:
        return {}
    try:
        summary = json.JSONDecoder().raw_decode(text, start)[0]
        worst = summary["max_top_k_errors"]
        return {
            top: row for top, row in worst.items() if top in TOLERANCES and number(row["error"]) is not None
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _of_top(top: str, row: Mapping[str, Any]) -> Check:
    error, tolerance = float(row["error"]), TOLERANCES[top]
    where = f"token {row.get('token_index')}"
    named = "all logits" if top == "null" else f"top {top} logits"
    sign = ">" if error > tolerance else "<="
    return Check(
        named, None, None, error <= tolerance, error, tolerance, f"{error:.4f} {sign} {tolerance} at {where}."
    )
