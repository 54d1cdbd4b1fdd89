"""The map of a split model: where it is narrow, as a table, as a picture, and in a sentence for a link."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from rich.table import Table

from tierline.terminal import console

BAR = 24
DEVICE_SLOWDOWN = 10.0  # the device beside this machine, in the examples
LINKS = (("LTE", 0.75e6, 0.06), ("Wi-Fi", 6e6, 0.01), ("LAN", 100e6, 0.001))  # bytes a second, round trip
_BARS, _EXITS, _BEST = "#4c78a8", "#e45756", "#54a24b"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One row of the map."""

    layer: int
    bytes: int  # at its end
    carries: str
    flops: int
    weight_bytes: int
    exit: bool  # can a sample stop after it?
    seconds: float | None  # median
    p95_seconds: float | None
    memory_bytes: int | None  # of activations while it runs, at most
    frame_bytes: int | None  # what travels at its end, coded


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """Where to cut for one example link; layer 0 sends the input, the last keeps all on the device."""

    link: str
    about: str
    layer: int
    seconds: float


def best_cuts(blocks: Sequence[Block], input_bytes: int) -> list[Best]:
    """For each example link the layer that answers soonest; nothing if the blocks were not timed.

    The device is DEVICE_SLOWDOWN times slower than this machine, what lies behind the link as fast.
    """
    seconds = [block.seconds for block in blocks if block.seconds is not None]
    if len(seconds) < len(blocks):
        return []
    found = []
    for name, rate, round_trip in LINKS:
        sent = [input_bytes, *(block.frame_bytes or block.bytes for block in blocks[:-1])]
        costs = [
            DEVICE_SLOWDOWN * sum(seconds[:layer]) + size / rate + round_trip + sum(seconds[layer:])
            for layer, size in enumerate(sent)
        ]
        costs.append(DEVICE_SLOWDOWN * sum(seconds))
        layer = min(range(len(costs)), key=costs.__getitem__)
        about = f"{rate / 1e6:g} MB/s, {round_trip * 1e3:g} ms"
        found.append(Best(link=name, about=about, layer=layer, seconds=costs[layer]))
    return found


def in_words(best: Best, last: int) -> str:
    """One sentence."""
    where = {0: "send the input", last: "all on the device"}.get(
        best.layer, f"split after block {best.layer}"
    )
    return f"{best.link} ({best.about}): {where}, {best.seconds:.3g} s"


def print_map(blocks: Sequence[Block], best: Sequence[Best]) -> None:
    """Print one row a block."""
    widest = max(block.bytes for block in blocks)
    timed = any(block.seconds is not None for block in blocks)
    titles = ["block", "bytes at its end", "", "carries", "MFLOP", "weights kB", "exit"]
    table = Table(
        *titles, *(["ms", "ms p95", "memory kB", "best for"] if timed else []), box=None, pad_edge=False
    )
    for block in blocks:
        row = [
            str(block.layer),
            f"{block.bytes:,}",
            "█" * max(1, round(BAR * block.bytes / widest)),
            block.carries,
            f"{block.flops / 1e6:.1f}",
            f"{block.weight_bytes / 1e3:.0f}",
            "◆" if block.exit else "",
        ]
        table.add_row(*row, *(_measured(block, best) if timed else []))
    console().print(table)


def _measured(block: Block, best: Sequence[Best]) -> list[str]:
    return [
        f"{(block.seconds or 0) * 1e3:.2f}",
        f"{(block.p95_seconds or 0) * 1e3:.2f}",
        f"{(block.memory_bytes or 0) / 1e3:.0f}",
        _names(best, block.layer),
    ]


def _names(best: Sequence[Best], layer: int) -> str:
    return ", ".join(one.link for one in best if one.layer == layer)


def to_svg(name: str, blocks: Sequence[Block], best: Sequence[Best]) -> str:
    """Draw one bar a block, as long as what leaves it; narrow places stand out, exits and best cuts too."""
    widest = max(block.bytes for block in blocks)
    height = 24 * len(blocks) + 72
    legend = "bytes at the end of each block"
    legend += "; ◆ exit" if any(block.exit for block in blocks) else ""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="1000" height="{height}" font-family="sans-serif">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="12" y="24" font-size="15">{escape(name)}: {legend}</text>',
    ]
    for place, block in enumerate(blocks):
        lines += _drawn(
            block, 40 + 24 * place, max(1.0, 420 * block.bytes / widest), _names(best, block.layer)
        )
    words = "; ".join(in_words(one, len(blocks)) for one in best)
    lines.append(f'<text x="12" y="{height - 12}" font-size="11">{escape(words)}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def _drawn(block: Block, top: int, width: float, best: str) -> list[str]:
    label = f"{block.bytes:,} · {block.flops / 1e6:.1f} MFLOP · {block.carries[:44]}"
    label += "" if block.seconds is None else f" · {block.seconds * 1e3:.2f} ms"
    marks = f'<tspan dx="6" fill="{_EXITS}">◆</tspan>' if block.exit else ""
    marks += f'<tspan fill="{_BEST}" dx="6" font-weight="bold">← {escape(best)}</tspan>' if best else ""
    return [
        f'<text x="12" y="{top + 14}" font-size="12">{block.layer}</text>',
        f'<rect x="40" y="{top}" width="{width:.1f}" height="18" fill="{_BARS}"/>',
        f'<text x="{46 + width:.1f}" y="{top + 14}" font-size="11">{escape(label)}{marks}</text>',
    ]
