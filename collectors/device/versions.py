"""What each Neuron SDK release has: packages, tools, options, formats; all data, in `versions.toml`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from collectors.errors import DeviceError

Version = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """One SDK release. `packages` maps a package to its versions; a package not in it is not shipped.

    `nki_standalone` says whether its NKI compiles a kernel called with NumPy arrays, without torch.
    """

    sdk: str
    date: str
    tools: tuple[str, ...]
    nki: str
    nki_standalone: bool
    targets: tuple[str, ...]
    packages: Mapping[str, tuple[str, ...]]

    @property
    def version(self) -> Version:
        """`sdk` as numbers."""
        return parse_version(self.sdk)


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a sub-command; a `flag` takes no value; a build may refuse an undocumented one."""

    command: str
    name: str
    spelling: str
    flag: bool = False
    tools: tuple[str, ...] = ("neuron-explorer", "neuron-profile")
    since: str = ""
    documented: bool = True


def parse_version(text: str) -> Version:
    """The leading dotted numbers of a version: "2.32.0.495-1666fb8" gives (2, 32, 0, 495); none gives ()."""
    match = re.match(r"\s*v?(\d+(?:\.\d+)*)", text)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


@cache
def table() -> Mapping[str, Any]:
    """`versions.toml`, parsed once."""
    text = resources.files(__package__).joinpath("versions.toml").read_text("utf-8")
    return tomllib.loads(text)


@cache
def releases() -> tuple[Release, ...]:
    """Every release of the table, oldest first."""
    return tuple(_release(row) for row in table()["release"])


def release(version: str) -> Release:
    """The release a tools or SDK version belongs to; a newer one is treated as the newest known.

    Raises `DeviceError` for a version older than the table.
    """
    known = releases()
    wanted = parse_version(version)[:2]
    if wanted < known[0].version:
        raise DeviceError(
            f"Neuron tools {version} are older than SDK {known[0].sdk}, the oldest this collector knows.",
            "Upgrade the Neuron SDK (sudo apt-get install --upgrade aws-neuronx-tools).",
        )
    return [row for row in known if row.version <= wanted][-1]


def beyond_table(version: str) -> bool:
    """Whether a version is newer than every release of the table."""
    return parse_version(version)[:2] > releases()[-1].version


def releases_with(package: str, version: str) -> tuple[Release, ...]:
    """The releases that shipped this version of a package; build suffixes after "+" are ignored.

    A version the table does not list exactly belongs to the release with the same first two numbers, or for
    torch-neuronx (torch's own version comes first) the same torch and plug-in series.
    """
    wanted = parse_version(version)
    exact = tuple(row for row in releases() if wanted in _versions(row, package))
    if exact:
        return exact
    series = 5 if package == "torch-neuronx" else 2
    return tuple(
        row for row in releases() if wanted[:series] in {v[:series] for v in _versions(row, package)}
    )


def fitting_releases(installed: Mapping[str, str]) -> tuple[Release, ...]:
    """The releases all the known packages of `installed` belong to; empty when they come from several."""
    fitting = set(releases_index())
    for package, version in installed.items():
        if any(package in row.packages for row in releases()):
            fitting &= {row.sdk for row in releases_with(package, version)}
    return tuple(row for row in releases() if row.sdk in fitting)


def releases_index() -> Mapping[str, Release]:
    """Releases by SDK version."""
    return {row.sdk: row for row in releases()}


@cache
def options(command: str) -> Mapping[str, Option]:
    """The options of a sub-command by our name for them."""
    rows = [_option(row) for row in table()["option"] if row["command"] == command]
    return {row.name: row for row in rows}


def has_option(option: Option, tool: str, sdk: Release) -> bool:
    """Whether this tool, in this release, knows the option."""
    return tool in option.tools and sdk.version >= parse_version(option.since or "0")


def formats(tool: str, sdk: Release) -> tuple[str, ...]:
    """The `--output-format` values this tool writes in this release."""
    rows: Mapping[str, Mapping[str, str]] = table()["formats"][tool]
    return tuple(name for name, row in rows.items() if _in_span(sdk, row))


def _in_span(sdk: Release, row: Mapping[str, str]) -> bool:
    return parse_version(row["since"]) <= sdk.version <= parse_version(row.get("until", "9999"))


def _versions(row: Release, package: str) -> set[Version]:
    return {parse_version(version) for version in row.packages.get(package, ())}


def _release(row: Mapping[str, Any]) -> Release:
    lists = {key: tuple(row[key]) for key in ("tools", "targets")}
    packages = {name: tuple(versions) for name, versions in row["packages"].items()}
    return Release(**{**row, **lists, "packages": packages})


def _option(row: Mapping[str, Any]) -> Option:
    return Option(**{**row, "tools": tuple(row["tools"])} if "tools" in row else row)
