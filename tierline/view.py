"""The demo's live view: a pure picture of a run in progress, and the loop that keeps it on the terminal."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import rich.live
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tierline_broker import Pool, Profile, Telemetry, Tier, running
from tierline_replay import (
    Live,
    Outcome,
    World,
    latency,
    route_in_words,
    split_by_kind,
    tier_share,
    uplink_bytes,
)

_REFRESH_SECONDS = 0.25
_RECENT = 60  # outcomes
_EVENTS = 6
_BAR = 30
_COLOURS = {Tier.MOBILE: "green", Tier.EDGE: "yellow", Tier.CLOUD: "blue"}


@asynccontextmanager
async def showing(live: Live, console: Console, *, view: bool) -> AsyncGenerator[None]:
    """Show a run for as long as the block lasts: drawn anew four times a second, or a line for each event.

    Args:
        live: the run.
        console: where to.
        view: draw; without it, and without a terminal, only lines are written.
    """
    loop = asyncio.get_running_loop()
    opened = loop.time()

    def told(line: str) -> str:
        """Put the seconds before a line: since the first request, until then since we were started."""
        seconds = live.since_start(loop.time()) if live.started is not None else loop.time() - opened
        return f"{seconds:6.1f} s  {line}"

    if not (view and console.is_terminal):
        live.tell = lambda line: console.print(Text(told(line)))
        yield
        return
    events: deque[str] = deque(maxlen=_EVENTS)
    live.tell = lambda line: events.append(told(line))
    with rich.live.Live(console=console, auto_refresh=False) as screen:
        async with running(_draw(screen, live, events), name="view"):
            yield
        screen.update(picture(live, events, loop.time()), refresh=True)


async def _draw(screen: rich.live.Live, live: Live, events: Sequence[str]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        screen.update(picture(live, events, loop.time()), refresh=True)
        await asyncio.sleep(_REFRESH_SECONDS)


def picture(live: Live, events: Sequence[str], now: float) -> RenderableType:
    """Return the whole view.

    Args:
        live: the run.
        events: the latest, in words.
        now: on the loop's clock.
    """
    ours, cloud = split_by_kind(live.outcomes)
    parts: list[RenderableType] = []
    if live.world is not None:
        parts.append(Text(conditions_in_words(live.world, live.profiles.get(Tier.MOBILE.value))))
    parts += [_nodes(live), _plan(live)]
    if ours:
        parts += [Text(), _shares(ours), _figures(live, ours, cloud)]
    parts += [Text(), *(Text(event, style="dim", no_wrap=True, overflow="ellipsis") for event in events)]
    parts.append(_progress(live, len(ours), now))
    return Panel(Group(*parts), title="tierline demo", title_align="left")


def conditions_in_words(world: World, phone_profile: Profile | None) -> str:
    """Return what is emulated, in two or three lines."""
    phone, edge = (world.slowdown[tier] / world.slowdown[Tier.CLOUD] for tier in (Tier.MOBILE, Tier.EDGE))
    near, far = (1000 * world.rtt[tier] for tier in (Tier.EDGE, Tier.CLOUD))
    return (
        f"Emulated on one machine: phone {phone:g} times, edge {edge:g} times slower than the cloud;\n"
        f"uplink {world.uplink * 8e-6:.3g} Mbit/s, round trip to edge {near:g} ms, to cloud {far:g} ms"
        f" ({world.name}){_room(phone_profile)}"
    )


def _room(profile: Profile | None) -> str:
    if profile is None or profile.max_layer >= profile.model.blocks:
        return ""
    return f"\nthe phone has room for {profile.max_layer} of the {profile.model.blocks} blocks"


def _nodes(live: Live) -> Table:
    table = Table(
        "node", "state", "busy", "queue", "served", "answered", "worked", "sent", "mostly as", box=None
    )
    for name, birth in sorted(live.births.items(), key=lambda item: (item[1].tier or "z", item[0])):
        report = live.telemetry.get(name)
        if birth.role == "scheduler" or report is None:
            table.add_row(name, birth.state)
            continue
        table.add_row(
            Text(name, style=_COLOURS[report.tier]),
            birth.state,
            f"{report.busy:.0%}",
            str(report.queue),
            str(report.served),
            str(report.answered),
            f"{report.work_seconds:.1f} s",
            size_in_words(report.sent_bytes),
            _most_used(report),
        )
    return table


def _most_used(report: Telemetry) -> str:
    """Return the codec of most activations that a node sent on, and how much smaller that made them."""
    used = {codec: use for codec, use in report.codecs.items() if use.sent_bytes}
    if not used:
        return ""
    codec = max(used, key=lambda name: used[name].sent)
    return f"{codec} {used[codec].array_bytes / used[codec].sent_bytes:.1f}x"


def _plan(live: Live) -> Text:
    if live.plan is None:
        return Text("no plan yet", style="dim")
    return Text.assemble(
        (f"plan {live.plan.version}: ", "bold"),
        route_in_words(live.plan),
        f"; up to {1000 * live.plan.predicted_seconds:.0f} ms predicted",
        mix_in_words(live),
    )


def mix_in_words(live: Live) -> str:
    """Return how hard the samples of a run looked at first sight, and which mix the plan was made for."""
    counts = {
        pool: sum(one.pools.get(pool, 0) for report in live.telemetry.values() for one in report.exits)
        for pool in Pool
    }
    total = sum(counts.values())
    if not total:
        return ""
    told = ", ".join(f"{count / total:.0%} {pool}" for pool, count in counts.items())
    mix = (
        "" if live.plan is None else ", ".join(f"{share:.0%} {pool}" for pool, share in live.plan.mix.items())
    )
    return f"\nlooked {told}" + (f"; planned for {mix}" if mix else "")


def _shares(ours: Sequence[Outcome]) -> Table:
    table = Table.grid(padding=(0, 1))
    for words, part in (("answered, all", ours), (f"the last {_RECENT}", ours[-_RECENT:])):
        bar, shares = Text(), tier_share(part)
        for tier in Tier:
            bar.append("█" * round(_BAR * shares[tier.value]), style=_COLOURS[tier])
        table.add_row(words, bar, "  ".join(f"{tier} {shares[tier.value]:.0%}" for tier in Tier))
    return table


def _figures(live: Live, ours: Sequence[Outcome], cloud: Sequence[Outcome]) -> Table:
    table = Table("", "median", "p95", "uplink", box=None)
    for words, part in ((f"the last {_RECENT}", ours[-_RECENT:]), ("all", ours), ("all in the cloud", cloud)):
        seconds = latency(part)
        table.add_row(
            words,
            f"{1000 * seconds['p50']:.0f} ms",
            f"{1000 * seconds['p95']:.0f} ms",
            size_in_words(sum(map(uplink_bytes, part))),
        )
    table.add_row("wanted within", "", f"{1000 * live.deadline:.0f} ms", "")
    return table


def _progress(live: Live, done: int, now: float) -> Table:
    grid = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=max(1, live.requests), completed=done, width=2 * _BAR)
    grid.add_row(bar, f"{done}/{live.requests} requests", f"{live.since_start(now):.0f} s")
    return grid


def size_in_words(size: float) -> str:
    """Return bytes as people say them."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
