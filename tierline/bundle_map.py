"""The map of a split model: where it is narrow, as a table, as a picture, and in a sentence for a link."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from rich.console import Console
from rich.table import Table

BAR = 24
DEVICE_SLOWDOWN = 10.0  # the device beside this machine, in the examples
LINKS = (("LTE", 0.75e6, 0.06), ("Wi-Fi", 6e6, 0.01), ("LAN", 100e6, 0.001))  # bytes a second, round trip


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One row of the map."""

    layer: int
    bytes: int  # at its end
    carries: str
    flops: int
    weight_bytes: int
    seconds: float | None


def print_map(blocks: Sequence[Block]) -> None:
    """Print one row a block."""
    widest = max(block.bytes for block in blocks)
    table = Table(
        "block", "bytes at its end", "", "carries", "MFLOP", "weights kB", "ms", box=None, pad_edge=False
    )
    for block in blocks:
        table.add_row(
            str(block.layer),
            f"{block.bytes:,}",
            "█" * max(1, round(BAR * block.bytes / widest)),
            block.carries,
            f"{block.flops / 1e6:.1f}",
            f"{block.weight_bytes / 1e3:.0f}",
            "" if block.seconds is None else f"{block.seconds * 1e3:.2f}",
        )
    Console(width=110).print(table)


def best_cuts(blocks: Sequence[Block], input_bytes: int) -> Iterator[str]:
    """For each example link where to cut, if the blocks were timed."""
    seconds = [block.seconds for block in blocks if block.seconds is not None]
    if len(seconds) < len(blocks):
        yield "time the blocks with --profile to see the best split for three example links"
        return
    for name, rate, round_trip in LINKS:
        sizes = [input_bytes, *(block.bytes for block in blocks[:-1])]
        costs = [
            DEVICE_SLOWDOWN * sum(seconds[:layer]) + size / rate + round_trip + sum(seconds[layer:])
            for layer, size in enumerate(sizes)
        ]
        costs.append(DEVICE_SLOWDOWN * sum(seconds))
        best = min(range(len(costs)), key=costs.__getitem__)
        link = f"{name} ({rate / 1e6:g} MB/s, {round_trip * 1e3:g} ms)"
        yield f"{link}: {_where(best, len(blocks))}, {costs[best]:.3g} s"


def _where(layer: int, last: int) -> str:
    return {0: "send the input", last: "all on the device"}.get(layer, f"split after block {layer}")


def to_svg(name: str, blocks: Sequence[Block]) -> str:
    """Draw one bar a block, as long as what leaves it; narrow places stand out."""
    widest = max(block.bytes for block in blocks)
    height = 24 * len(blocks) + 48
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="720" height="{height}" font-family="sans-serif">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="12" y="24" font-size="15">{escape(name)}: bytes at the end of each block</text>',
    ]
    for place, block in enumerate(blocks):
        top, width = 40 + 24 * place, max(1.0, 420 * block.bytes / widest)
        lines.append(f'<text x="12" y="{top + 14}" font-size="12">{block.layer}</text>')
        lines.append(f'<rect x="40" y="{top}" width="{width:.1f}" height="18" fill="#4c78a8"/>')
        label = f"{block.bytes:,} · {block.flops / 1e6:.1f} MFLOP · {block.carries}"
        lines.append(f'<text x="{46 + width:.1f}" y="{top + 14}" font-size="11">{escape(label)}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"
