"""Each test sample's way, kept with the records: the exit that answers it, and why no later one does."""

from dataclasses import replace

import numpy as np

from tierline_cartography.analysis.evaluate import Evaluation
from tierline_cartography.analysis.said import sides
from tierline_cartography.analysis.stopping import OURS, stops
from tierline_cartography.records import Records


def routed(records: Records, found: Evaluation) -> Records:
    """Note where each sample of the test part was answered, as sealed before that was opened.

    A sample is answered by the first exit from which going on promises no more than is wanted there, or by
    the deepest one; `routes` in the document says what is wanted, and seals the setting.

    Args:
        records: of a task.
        found: what they say for one choice of exits.
    """
    ours = found.outcomes[OURS]
    why = stops(*sides(records, found.exits), ours.setting)
    layers = np.array(found.exits, dtype=np.uint8)[why.places]
    test = replace(records.test, answered=layers, gain=why.gains.astype(np.float32))
    routes = {
        "rule": OURS,
        "exits": list(found.exits),
        "setting": list(ours.setting),
        "wanted": list(why.wanted),
        "sealed": found.sealed,
    }
    return replace(
        records, parts={**records.parts, "test": test}, document={**records.document, "routes": routes}
    )
