"""`tierline bundle inspect`: the map of a bundle's blocks, with what they take on this class of devices."""

import json
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.table import Table

from tierline.bundle_about import about, print_about
from tierline.bundle_map import Best, Block, best_cuts, in_words, print_map, to_svg
from tierline.errors import UsageError
from tierline.terminal import console, note, progress

if TYPE_CHECKING:
    from tierline_models import Bundle, DeviceProfile, Split

PROFILE = "profile.json"
BUILT_IN = ("text", "image")
CODEC = "int8-lz4"  # in the examples


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What a block costs on whatever machine."""

    bytes: int
    carries: str
    flops: int
    weight_bytes: int
    exit: bool


def inspect(args: Namespace) -> int:
    """Run the command."""
    from tierline_models import Split

    model = _load(args.folder)
    profile, device = _profile(args, model)
    blocks = _with_seconds(_costs(model), profile)
    inputs = _input_bytes(model)
    best = best_cuts(blocks, inputs)
    if args.svg:
        Path(args.svg).write_text(to_svg(model.name, blocks, best))
    if args.json:
        document = {"name": model.name, "digest": model.digest, "input_bytes": inputs}
        document |= {"blocks": [asdict(one) for one in blocks], "best": [asdict(one) for one in best]}
        document |= about(model) if isinstance(model, Split) else {}
        print(json.dumps(document | _figures(profile, device)))
    else:
        print(f"{model.name} {model.digest[:12]}: {len(blocks)} blocks, {inputs:,} bytes go in")
        _print(blocks, best, profile, device)
        if isinstance(model, Split):
            print_about(model)
    return 0


def _load(folder: str) -> "Split | Bundle":
    from tierline_models import load, load_bundle, one_thread

    one_thread()
    built_in = folder in BUILT_IN and not Path(folder).exists()
    return load_bundle(folder) if built_in else load(folder)


def _profile(args: Namespace, model: "Split | Bundle") -> tuple["DeviceProfile | None", str]:
    """What is known of this class of devices, measured first if that was asked for; and its name."""
    from tierline_models import Bundle, BundleProfile, device_class, profile_of, read_profile

    device = device_class()
    if args.out:
        known = read_profile(Path(args.out) / PROFILE, model.digest)
    else:
        known = model.profile if isinstance(model, Bundle) else profile_of(model)
    if args.profile:
        if isinstance(model, Bundle) and not args.out:
            raise UsageError(
                f"`{model.name}` has no folder for its profile; say with --out DIR where it shall go"
            )
        fresh = BundleProfile(bundle=model.digest, devices={device: _measured(args, model)})
        known = fresh if known is None else known.merged(fresh)
        _keep(args, known.model_dump_json().encode())
    return (None if known is None else known.devices.get(device)), device


def _measured(args: Namespace, model: "Split | Bundle") -> "DeviceProfile":
    from tierline.codec_figures import codec_figures
    from tierline_models import measure_device, sizes_to_measure, subject_of

    subject = subject_of(model)
    sizes = sizes_to_measure(subject, args.batches or (), args.lengths or ())
    with progress("profiling", len(sizes) + len(subject.blocks) - 1) as done:
        profile = measure_device(subject, sizes, code=codec_figures, done=done)
    if len(profile.sizes) < len(sizes):
        note(f"the model refuses {len(sizes) - len(profile.sizes)} of {len(sizes)} sizes; they are left out")
    return profile


def _keep(args: Namespace, content: bytes) -> None:
    from tierline_models import attach

    if args.out:
        Path(args.out).mkdir(parents=True, exist_ok=True)
        (Path(args.out) / PROFILE).write_bytes(content)
    else:
        attach(args.folder, {PROFILE: content})


def _input_bytes(model: "Split | Bundle") -> int:
    from tierline_models import Bundle

    if isinstance(model, Bundle):
        return model.card.input_bytes
    return sum(spec.bytes for spec in model.inputs)


def _costs(model: "Split | Bundle") -> list[Costs]:
    from tierline_models import Bundle

    return _costs_of_bundle(model) if isinstance(model, Bundle) else _costs_of_split(model)


def _costs_of_bundle(bundle: "Bundle") -> list[Costs]:
    from tierline_models import block_costs, subject_of

    return [
        Costs(
            bytes=one.bytes,
            carries=_in_words(one.shapes),
            flops=one.flops,
            weight_bytes=one.weight_bytes,
            exit=layer in bundle.model.exits,
        )
        for layer, one in enumerate(block_costs(subject_of(bundle)), 1)
    ]


def _costs_of_split(cut: "Split") -> list[Costs]:
    """From the split points alone: no weight is read."""
    flops = [0, *(point.flops_before for point in cut.points)]
    flops.append(flops[-1] + cut.points[-1].flops_after)
    weights = [0, *(point.weight_bytes_before for point in cut.points)]
    weights.append(weights[-1] + cut.points[-1].weight_bytes_after)
    ends = [(point.bytes, _in_words([one.shape for one in point.tensors])) for point in cut.points]
    ends.append((sum(one.nbytes for one in cut.example[1]), "output"))
    exits = {one.layer for one in cut.exits}
    return [
        Costs(bytes=size, carries=carries, flops=done, weight_bytes=held, exit=layer in exits)
        for layer, ((size, carries), done, held) in enumerate(
            zip(ends, _steps(flops), _steps(weights), strict=True), 1
        )
    ]


def _in_words(shapes: Sequence[Sequence[int]]) -> str:
    return " + ".join("x".join(map(str, shape)) for shape in shapes)


def _steps(totals: Sequence[int]) -> list[int]:
    return [after - before for before, after in pairwise(totals)]


def _with_seconds(costs: Sequence[Costs], profile: "DeviceProfile | None") -> list[Block]:
    """The rows of the map; a profile of other blocks (other split points) says nothing of these."""
    size = profile.sizes[0] if profile is not None and profile.blocks == len(costs) else None
    frames = profile.codecs.get(CODEC) if profile is not None and size is not None else None
    medians, p95s = (size.quantile(0.5), size.quantile(0.95)) if size else (None, None)
    return [
        Block(
            layer=layer + 1,
            **asdict(cost),
            seconds=medians[layer] if medians else None,
            p95_seconds=p95s[layer] if p95s else None,
            memory_bytes=size.memory_bytes[layer] if size else None,
            frame_bytes=frames[layer].bytes if frames and layer < len(frames) else None,
        )
        for layer, cost in enumerate(costs)
    ]


def _figures(profile: "DeviceProfile | None", device: str) -> dict[str, Any]:
    """What a profile says beyond the map."""
    if profile is None:
        return {"device": device, "sizes": [], "codecs": {}}
    sizes = [
        {
            "inputs": size.inputs,
            "runs": len(size.seconds),
            "median_seconds": size.quantile(0.5),
            "p95_seconds": size.quantile(0.95),
            "memory_bytes": max(size.memory_bytes),
        }
        for size in profile.sizes
    ]
    return {"device": device, "sizes": sizes, "codecs": _codecs(profile)}


def _codecs(profile: "DeviceProfile") -> dict[str, Mapping[str, float]]:
    """By codec: how many times smaller its frames are than the activations (median), its error (at most)."""
    activations = profile.sizes[0].bytes
    return {
        codec: {
            "ratio": median(size / one.bytes for size, one in zip(activations, figures, strict=False)),
            "error": max(one.error for one in figures),
        }
        for codec, figures in profile.codecs.items()
        if figures
    }


def _print(
    blocks: Sequence[Block], best: Sequence[Best], profile: "DeviceProfile | None", device: str
) -> None:
    print_map(blocks, best)
    if profile is None:
        print(f"time the blocks on this machine ({device}) with --profile to see where to cut for a link")
        return
    console().print(_table_of_sizes(profile, device))
    console().print(_table_of_codecs(profile))
    for one in best:
        print(in_words(one, len(blocks)))


def _table_of_sizes(profile: "DeviceProfile", device: str) -> Table:
    table = Table(f"input on {device}", "ms", "ms p95", "memory kB", "runs", box=None, pad_edge=False)
    for size in profile.sizes:
        table.add_row(
            ", ".join(f"{name} {_in_words([shape])}" for name, shape in size.inputs.items()),
            f"{size.whole(0.5) * 1e3:.2f}",
            f"{size.whole(0.95) * 1e3:.2f}",
            f"{max(size.memory_bytes) / 1e3:.0f}",
            str(len(size.seconds)),
        )
    return table


def _table_of_codecs(profile: "DeviceProfile") -> Table:
    table = Table("codec", "times smaller", "error at most", box=None, pad_edge=False)
    for codec, figures in _codecs(profile).items():
        table.add_row(codec, f"{figures['ratio']:.2f}", f"{figures['error']:.4f}")
    return table
