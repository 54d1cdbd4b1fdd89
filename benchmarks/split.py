"""What splitting any model costs: equality at every point, segments against the whole, bytes, memory.

`split.py` prints rows; `--table` prints one line an architecture instead, as docs/splitting.md has it;
`--quick` repeats less.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests.models import zoo
from tests.models.real import REAL
from tierline.codec_figures import codec_figures
from tierline_models import (
    Split,
    load,
    measure_device,
    onnx_differences,
    sizes_to_measure,
    split,
    subject_of,
)

PASSES = 40
QUICK_PASSES = 8
MEMORY_RUNS = 3

# Run in a process of its own: what a node that holds these blocks needs beyond one that holds none.
_MEMORY = """
import sys, torch
from tierline_models import load, split
def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
cut = load(sys.argv[1])
load(sys.argv[2]).segment(0, 1)
before = peak()
first = int(sys.argv[3])
segment = cut.segment(first, int(sys.argv[4]))
with torch.no_grad():
    segment(*(torch.zeros(one.shape) for one in cut.points[first - 1].tensors))
print((peak() - before) / sum(one.nbytes for one in segment.state_dict().values()))
"""


def architectures() -> dict[str, zoo.Example]:
    """Every model of the equality table."""
    return {name: make() for name, make in (zoo.ZOO | REAL).items()}


def large() -> dict[str, zoo.Example]:
    """Models that take over 10 ms."""
    decoder = zoo.Decoder(256, 6, 1000).eval()
    return {
        "ResNet-50 (128 x 128)": zoo.resnet50(1, 128),
        "decoder (6 layers of 256, 60 tokens)": (decoder, (torch.randint(0, 1000, (1, 60)),)),
    }


def main() -> None:
    """Measure, and print rows or the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if args.table:
        print_table()
        return
    passes = QUICK_PASSES if args.quick else PASSES
    with tempfile.TemporaryDirectory() as folder:
        rows = [equality(), onnx_equality(), *overheads(passes), deep_split(), *loading(Path(folder))]
        rows += [fast_path(), *([] if args.quick else compiled(passes))]
    print(json.dumps(rows))


def print_table() -> None:
    """One line an architecture."""
    titles = ("architecture", "calls", "split points", "tensors at most", "largest difference", "ONNX")
    print(f"| {' | '.join(titles)} |\n{'|---' * len(titles)}|")
    for name, (model, inputs) in architectures().items():
        cut = split(model, inputs, every=True)
        most = max(len(point.tensors) for point in cut.points)
        calls = len(cut.source.program.calls)  # type: ignore[attr-defined]
        apart = f"{max(_onnx_apart(cut)):.1e}"
        print(f"| {name} | {calls} | {len(cut.points)} | {most} | {max(cut.differences())} | {apart} |")


def equality() -> dict[str, Any]:
    """The largest difference anywhere."""
    worst = [
        max(split(model, inputs, every=True).differences()) for model, inputs in architectures().values()
    ]
    claim = f"largest difference between split and unsplit, every split point of {len(worst)} architectures"
    return _row(claim, worst, max(worst), 0.0, "absolute")


def onnx_equality() -> dict[str, Any]:
    """The largest difference of onnxruntime from torch after any block, by the largest value there."""
    worst = [max(_onnx_apart(split(model, inputs, every=True))) for model, inputs in architectures().values()]
    claim = f"onnxruntime from torch after any block, of the largest value there, {len(worst)} architectures"
    return _row(claim, worst, max(worst), 1e-4, "times")


def _onnx_apart(cut: Split) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        cut.save(Path(folder) / "bundle", onnx=True)
        return onnx_differences(Path(folder) / "bundle")


def overheads(passes: int) -> list[dict[str, Any]]:
    """CPU time of segments over that of the whole graph, taking turns."""
    rows = []
    for name, (model, inputs) in large().items():
        cut = split(model, inputs)
        middle = len(cut.points) // 2
        head, tail, whole = cut.head(middle), cut.tail(middle), cut.segment(0, cut.layers)
        ratios = _ratios(lambda: tail(head(*inputs)), lambda: whole(*inputs), passes)  # noqa: B023
        rows.append(
            _row(f"head and tail over whole, {name}", ratios, statistics.median(ratios), 1.03, "times")
        )
        blocks = cut.blocks
        ratios = _ratios(lambda: _chain(blocks, inputs), lambda: model(*inputs), passes)  # noqa: B023
        claim = f"all {len(blocks)} blocks one by one over the user's module, {name}"
        rows.append(_row(claim, ratios, statistics.median(ratios), 1.03, "times"))
    return rows


def _chain(blocks: tuple[nn.Module, ...], carried: Any) -> Any:
    for block in blocks:
        carried = block(carried)
    return carried


def _ratios(ours: Callable[[], Any], theirs: Callable[[], Any], passes: int) -> list[float]:
    """Five medians of CPU time against five."""
    found = []
    with torch.no_grad():
        ours(), theirs()
        for _ in range(5):
            pairs = [(_seconds(ours), _seconds(theirs)) for _ in range(passes)]
            found.append(statistics.median(a for a, _ in pairs) / statistics.median(b for _, b in pairs))
    return found


def _seconds(call: Callable[[], Any]) -> float:
    started = time.process_time()
    call()
    return time.process_time() - started


def deep_split() -> dict[str, Any]:
    """Split and profile a CNN of 100 layers: several batches, codecs at every split point."""
    model, inputs = zoo.deep(100)
    started = time.perf_counter()
    subject = subject_of(split(model, inputs))
    measure_device(subject, sizes_to_measure(subject), code=codec_figures)
    seconds = time.perf_counter() - started
    return _row("split and profile of a CNN of 100 layers", [seconds], seconds, 20.0, "s")


def fast_path() -> dict[str, Any]:
    """How far the fused fast path of torch's encoder is from the graph of the same encoder."""
    layer = nn.TransformerEncoderLayer(128, 4, 512, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 3).eval()
    found = []
    for batch, tokens in ((1, 8), (2, 40), (4, 128)):
        x = torch.randn(batch, tokens, 128)
        with torch.no_grad():
            largest = float(encoder(x).abs().max())
        found.append(max(split(encoder, x).differences()) / largest)
    claim = "nn.TransformerEncoder with its fast path against its own graph, over the largest value"
    return _row(claim, found, max(found), 1e-6, "times")


def compiled(passes: int) -> list[dict[str, Any]]:
    """Head and tail compiled by inductor; nothing where there is no C++ compiler."""
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        return []
    model, inputs = zoo.Decoder(256, 2, 1000).eval(), (torch.randint(0, 1000, (1, 60)),)
    cut = split(model, inputs)
    head, tail = cut.head(2), cut.tail(2)
    quick_head, quick_tail = torch.compile(head), torch.compile(tail)
    with torch.no_grad():
        whole = model(*inputs)
        off = float((quick_tail(quick_head(*inputs)) - whole).abs().max() / whole.abs().max())
    ratios = _ratios(lambda: quick_tail(quick_head(*inputs)), lambda: tail(head(*inputs)), passes)
    name = "decoder (2 layers of 256, 60 tokens)"
    return [
        _row(f"head and tail compiled over eager, {name}", ratios, statistics.median(ratios), 1.0, "times"),
        _row(f"compiled against whole, {name}, over the largest value", [off], off, 1e-5, "times"),
    ]


def loading(folder: Path) -> list[dict[str, Any]]:
    """What is read, and what is held, for some blocks of a bundle."""
    cut = split(*zoo.resnet50(1, 64))
    cut.save(folder / "big")
    split(*zoo.unet()).save(folder / "small")
    first, last = cut.layers // 2, cut.layers - 1
    read = _bytes_read(load(folder / "big"), first, last)
    command = [
        sys.executable,
        "-c",
        _MEMORY,
        str(folder / "big"),
        str(folder / "small"),
        str(first),
        str(last),
    ]
    held = [
        float(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(MEMORY_RUNS)
    ]
    return [
        _row("bytes read for some blocks, over their weights", [read], read, 1.05, "times"),
        _row(
            "peak memory of a node that runs some blocks, over their weights",
            held,
            statistics.median(held),
            1.2,
            "times",
        ),
    ]


def _bytes_read(cut: Split, first: int, last: int) -> float:
    before = _read_so_far()
    segment = cut.segment(first, last)
    return (_read_so_far() - before) / sum(one.nbytes for one in segment.state_dict().values())


def _read_so_far() -> int:
    return int(Path("/proc/self/io").read_text().splitlines()[0].split()[1])


def _row(claim: str, values: list[float], value: float, reach: float, unit: str) -> dict[str, Any]:
    return {
        "claim": claim,
        "value": value,
        "reach": reach,
        "better": "lower",
        "unit": unit,
        "spread": [min(values), max(values)],
        "runs": len(values),
    }


if __name__ == "__main__":
    main()
