"""Measure the profiles that made-up fleets stand on, and the memory that a device needs for so many blocks.

As a node does at its start, but in many turns of the bundles and by time on a core. Others on the machine
only add to that (their data takes the caches), so for each block the turn that was disturbed least counts.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import accumulate
from statistics import mean, median

from _fleets import PROFILES, profile
from _rows import say

from tierline_broker import CodecCost, ModelCard, Profile, Tier
from tierline_models import (
    Bundle,
    SizeProfile,
    block_costs,
    load_bundle,
    measure_device,
    one_thread,
    subject_of,
)
from tierline_nodes import codec_costs

BUNDLES = ("text", "image")
TURNS, PASSES = 30, 12
CODEC_TURNS = 5
CODEC = "int8-lz4"


def measured(bundle: Bundle, turns: Sequence[SizeProfile]) -> Profile:
    """Return what a node would publish of itself: for each block the median of its quietest turn."""
    codecs = middle([codec_costs(bundle, 1.0) for _ in range(CODEC_TURNS)])
    first = bundle.model.activation_bytes(1)
    default = codecs[CODEC]
    return Profile(
        node="measured",
        tier=Tier.CLOUD,
        incarnation=1,
        model=ModelCard.model_validate(asdict(bundle.card)),
        block_seconds=tuple(min(of) for of in zip(*(one.quantile(0.5) for one in turns), strict=True)),
        exit_seconds=min(mean(map(median, one.exit_seconds.values())) for one in turns),
        codec_seconds=default.encode_call
        + default.decode_call
        + first * (default.encode_byte + default.decode_byte),
        codecs=codecs,
        max_layer=len(bundle.model.blocks),
        memory_bytes=2**34,
        cores=1,
    )


def middle(found: Sequence[dict[str, CodecCost]]) -> dict[str, CodecCost]:
    """Return the median of each codec's costs."""
    rows = {codec: [one[codec].model_dump() for one in found] for codec in found[0]}
    return {
        codec: CodecCost(**{name: median(row[name] for row in costs) for name in costs[0]})
        for codec, costs in rows.items()
    }


def memory(bundle: Bundle) -> list[int]:
    """Return the bytes that a device needs to hold and run no blocks, the first, the first two and so on."""
    costs = block_costs(subject_of(bundle))
    weights = accumulate(one.weight_bytes for one in costs)
    alive = accumulate((one.memory_bytes for one in costs), max)
    return [0, *(held + most for held, most in zip(weights, alive, strict=True))]


def main() -> None:
    """Measure all, keep them, and tell how far they moved."""
    one_thread()
    bundles = {name: load_bundle(name) for name in BUNDLES}
    subjects = {name: subject_of(bundle) for name, bundle in bundles.items()}
    turns: dict[str, list[SizeProfile]] = {name: [] for name in BUNDLES}
    for _ in range(TURNS):
        for name, one in subjects.items():
            turns[name].append(measure_device(one, [one.inputs], runs=PASSES).sizes[0])
    for name, bundle in bundles.items():
        before, now = profile(name), measured(bundle, turns[name])
        (PROFILES / f"{name}.json").write_text(now.model_dump_json() + "\n")
        each = sorted(sum(one.quantile(0.5)) for one in turns[name])
        was = sum(before.block_seconds)
        now_all = sum(now.block_seconds)
        say(f"{name}: {now_all:.5f} s for all blocks (median turn {median(each):.5f}), was {was:.5f}")
    held = {name: memory(bundle) for name, bundle in bundles.items()}
    (PROFILES / "memory.json").write_text(json.dumps(held) + "\n")


if __name__ == "__main__":
    main()
