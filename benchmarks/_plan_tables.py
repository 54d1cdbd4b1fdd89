"""How many plans of a model could be the best on some device; of profiles in files, if any are named.

Else of those that made-up fleets stand on. A node's own is among what `tierline plan --save` keeps.
"""

import sys
from pathlib import Path

import _fleets

from tierline_broker import Profile
from tierline_scheduler import Objective, fleet


def main() -> None:
    """Print a line a profile and accuracy drop."""
    given = [Profile.model_validate_json(Path(name).read_text()) for name in sys.argv[1:]]
    jobs = [(one, 0.01) for one in given] or [(_fleets.profile(name), drop) for name, drop in _fleets.JOBS]
    for one, drop in jobs:
        plans = len(fleet.plan_table(one, Objective(accuracy_drop=drop)))
        print(f"{one.model.name}, accuracy may drop by {drop:g}: {plans} plans")


if __name__ == "__main__":
    main()
