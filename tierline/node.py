"""`tierline node`: one node until it is stopped."""

import json
from argparse import Namespace
from contextlib import suppress

from tierline.errors import UsageError
from tierline.identity import own_name
from tierline.lifetime import Stopped, run_until_stopped
from tierline.settings import broker_url
from tierline_broker import Tier
from tierline_nodes import NodeConfig, run_node


def main(args: Namespace) -> int:
    """Run the command."""
    with own_name(args.name, args.tier, args.site) as name, suppress(Stopped):
        run_until_stopped(run_node(_config(args, name)))
    if args.json:
        print(json.dumps({"node": name, "tier": args.tier, "site": args.site}))
    return 0


def _config(args: Namespace, name: str) -> NodeConfig:
    try:
        return NodeConfig(
            name=name,
            tier=Tier(args.tier),
            broker=broker_url(args.broker),
            site=args.site,
            bundle=args.bundle,
            runtime=args.runtime,
            slowdown=args.slowdown,
            emulate=args.emulate is not None,
            bench_clock=args.bench_clock,
            max_layer=args.max_layer,
            mirror_headers=args.mirror_headers,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
