"""`tierline bench`: run the repository's benchmarks, keep their rows, print them as one table."""

import asyncio
import json
import os
import platform
import subprocess
import sys
from argparse import Namespace
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.table import Table

from tierline.errors import RunError, UsageError
from tierline.lifetime import run_until_stopped
from tierline.terminal import console

_FOLDER = Path(__file__).parent.parent / "benchmarks"
_SECONDS = 3600.0  # for one benchmark
_PACKAGES = ("aiomqtt", "lz4", "msgpack", "numpy", "tierline", "torch", "zstandard")
_NOT_BENCHMARKS = frozenset({"tables"})
_INTO = {"scheduler_traces": "scheduler", "scheduler_live": "scheduler"}
"""Benchmarks whose rows stand in one file with another's; each replaces its own."""

Row = dict[str, Any]


def main(args: Namespace) -> int:
    """Run the command."""
    names = _chosen(args.names)
    rows = run_until_stopped(_run_all(names, quick=args.quick))
    if args.json:
        print(json.dumps([row for name in names for row in rows.get(name, [])]))
    else:
        _print_table([row for name in names for row in rows.get(name, [])])
    return 0


def _chosen(asked: Sequence[str]) -> list[str]:
    """Return the benchmarks to run: those asked for, else all."""
    if not _FOLDER.is_dir():
        raise UsageError(
            "the benchmarks are in Tierline's repository, not in its package; run this in a clone"
        )
    known = sorted({path.stem for path in _FOLDER.glob("[a-z]*.py")} - _NOT_BENCHMARKS)
    for name in asked:
        if name not in known:
            raise UsageError(f"there is no benchmark {name!r}; choose from {', '.join(known)}")
    return list(dict.fromkeys(asked)) or known


async def _run_all(names: Sequence[str], *, quick: bool) -> dict[str, list[Row]]:
    """Run benchmarks one after the other, for they measure time; keep each one's rows once it is done."""
    rows = {}
    for name in names:
        measured = await _run(name, quick=quick)
        if measured is None:
            continue
        rows[name] = [row | _circumstances(name, quick=quick) for row in measured]
        if not quick:
            _keep(name, rows[name])
    return rows


async def _run(name: str, *, quick: bool) -> list[Row] | None:
    """Run one benchmark in a process of its own and return the rows that it prints.

    None is what a benchmark says, having told why, where this machine lacks what it measures with.
    """
    command = [sys.executable, str(_FOLDER / f"{name}.py"), *(["--quick"] if quick else [])]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    try:
        async with asyncio.timeout(_SECONDS):
            out, _ = await process.communicate()
    except TimeoutError:
        raise RunError(f"benchmark {name} took over {_SECONDS:g} s; try --quick") from None
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    if process.returncode != 0:
        raise RunError(f"benchmark {name} failed with code {process.returncode}; its last words are above")
    try:
        rows: list[Row] | None = json.loads(out)
    except ValueError as error:
        raise RunError(f"benchmark {name} printed no JSON rows on stdout: {error}") from error
    return rows


def _circumstances(name: str, *, quick: bool) -> Row:
    """Return what makes a figure comparable: how, where, with what and when it was measured."""
    return {
        "command": f"tierline bench {name}{' --quick' if quick else ''}",
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {_processor()}",
        "versions": {"python": platform.python_version()} | {one: _version(one) for one in _PACKAGES},
        "date": datetime.now(UTC).date().isoformat(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else "unknown processor"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _keep(name: str, rows: list[Row]) -> None:
    """Write rows to their file, instead of those of the same claim or the same benchmark."""
    path = _FOLDER / "results" / f"{_INTO.get(name, name)}.json"
    path.parent.mkdir(exist_ok=True)
    before: list[Row] = json.loads(path.read_text()) if path.exists() else []
    claims, command = {row["claim"] for row in rows}, f"tierline bench {name}"
    others = [row for row in before if row["claim"] not in claims and row["command"] != command]
    shared = name in _INTO or name in _INTO.values()
    path.write_text(json.dumps([*(others if shared else []), *rows], indent=1) + "\n")


def met(row: Row) -> bool:
    """Whether a figure reaches what was to be reached."""
    better: bool = row["value"] >= row["reach"] if row["better"] == "higher" else row["value"] <= row["reach"]
    return better


def _print_table(rows: list[Row]) -> None:
    table = Table("claim", "value", "spread", "to reach", "", box=None, pad_edge=False)
    for row in rows:
        spread = " to ".join(f"{value:.4g}" for value in row["spread"])
        sign = "≥" if row["better"] == "higher" else "≤"
        table.add_row(
            row["claim"],
            f"{row['value']:.4g} {row['unit']}",
            spread,
            f"{sign} {row['reach']:.4g}",
            "met" if met(row) else "FALLS SHORT",
        )
    console().print(table)
