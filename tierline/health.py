"""`python -m tierline.health`: ends with 0 where the broker says that this container's program is ready."""

import asyncio
import secrets
import sys
from collections.abc import Iterator

from tierline.errors import UsageError
from tierline.identity import state_folder
from tierline.settings import broker_url
from tierline_broker import NODE, BrokerError, connect

_SECONDS = 5.0


def main() -> int:
    """Look at the broker for each program that keeps its name here; a container has one."""
    names = list(_kept_names())
    if not names:
        print(f"no program has taken a name in {state_folder()} yet", file=sys.stderr)
        return 1
    for site, name in names:
        try:
            state = asyncio.run(_state(site, name))
        except (BrokerError, UsageError) as error:
            print(error, file=sys.stderr)
            return 1
        print(f"{name} is {state}")
        if state != "ready":
            return 1
    return 0


def _kept_names() -> Iterator[tuple[str, str]]:
    """Yield site and name of the programs that `own_name` has named here."""
    for slot in sorted(state_folder().glob("names/*/*")):
        if name := slot.read_text().strip():
            yield slot.parent.name, name


async def _state(site: str, name: str) -> str:
    """Return what the retained birth says, `unknown` where there is none."""
    visitor = f"health-{secrets.token_hex(4)}"
    try:
        async with (
            asyncio.timeout(_SECONDS),
            connect(broker_url(), name=visitor, site=site) as session,
            session.subscribe(NODE, name) as births,
        ):
            async for birth in births:
                return birth.state
    except TimeoutError:
        pass
    return "unknown"


if __name__ == "__main__":
    sys.exit(main())
