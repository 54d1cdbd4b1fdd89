"""Measure the profiles that made-up fleets stand on; to be run by itself on a quiet machine.

Each is what a real node of this machine published, taken from the wire: of three that measured at the same
time the one that was disturbed least.
"""

import asyncio

from _fleets import PROFILES
from _rows import say
from main import BARE

from tierline_broker import PROFILE, Profile, Tier
from tierline_replay import Live, deployment

BUNDLES = ("text", "image")
SECONDS = 60.0  # to wait for a record that is retained already


async def measure(bundle: str) -> Profile:
    """Return what the quickest node of a deployment published of itself."""
    live = Live(tell=say)
    async with (
        deployment(bundle, BARE, live) as deployed,
        deployed.client.session.subscribe(PROFILE) as found,
        asyncio.timeout(SECONDS),
    ):
        profiles = [await anext(found) for _ in Tier]
    return min(profiles, key=lambda one: sum(one.block_seconds))


def main() -> None:
    """Measure all, and keep them."""
    for bundle in BUNDLES:
        one = asyncio.run(measure(bundle)).model_copy(update={"node": "measured", "incarnation": 1})
        (PROFILES / f"{bundle}.json").write_text(one.model_dump_json() + "\n")
        say(f"{bundle}: {sum(one.block_seconds):.4f} s for all blocks")


if __name__ == "__main__":
    main()
