"""`tierline scheduler`: plans for one site until it is stopped."""

import json
from argparse import Namespace
from contextlib import suppress
from dataclasses import replace

from tierline.arguments_planning import alike_of
from tierline.identity import own_name
from tierline.lifetime import Stopped, run_until_stopped
from tierline.settings import broker_url
from tierline_scheduler import Objective, SchedulerConfig, run_scheduler


def main(args: Namespace) -> int:
    """Run the command."""
    objective = replace(
        Objective.balanced(args.balance, deadline=args.deadline, accuracy_drop=args.accuracy_drop),
        edge_weight=args.edge_weight,
        expected_rate=args.expected_rate,
    )
    with own_name(args.name, "scheduler", args.site) as name, suppress(Stopped):
        config = SchedulerConfig(
            name=name,
            broker=broker_url(args.broker),
            site=args.site,
            objective=objective,
            alike=alike_of(args),
        )
        run_until_stopped(run_scheduler(config))
    if args.json:
        print(json.dumps({"scheduler": name, "site": args.site}))
    return 0
