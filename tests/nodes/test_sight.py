"""Judging a sample at an exit: what it costs beside the blocks that the mobile computes anyway."""

import time
from collections.abc import Callable
from statistics import median

from tierline_broker import Answer, Route, Stage, Tier, Work
from tierline_models import Bundle
from tierline_nodes.routing import decide
from tierline_nodes.sight import look

ROUNDS, EACH = 15, 20
MOST = 0.04  # of the mobile's compute; 0.7 % on a quiet machine, and others may be at work here


def cpu_seconds(run: Callable[[], object]) -> float:
    start = time.thread_time()
    run()
    return time.thread_time() - start


def test_routing_costs_next_to_nothing_beside_the_blocks(text_bundle: Bundle) -> None:
    model, found = text_bundle.model, text_bundle.cartography
    assert found is not None
    said = model.exit(2, model.run(model.preprocess(text_bundle.example), 0, 2))
    answer = Answer(output=said.logits, label=said.label, confidence=said.confidence, layer=2)
    stages = (
        Stage(tier=Tier.MOBILE, node="phone", layer=2, codec="input"),
        Stage(tier=Tier.CLOUD, node="cloud", layer=6, codec="raw"),
    )
    route = Route(stages=stages, gains=(0.05,), router=found.digest, tiers={"easy": Tier.MOBILE})
    work = Work.model_validate(
        {"id": bytes(16), "origin": "c", "sender": "c", "sender_incarnation": 1, "sequence": 1}
        | {"model": "", "layer": 0, "codec": "input", "deadline": 1.0}
    )

    def blocks() -> None:
        model.run(model.preprocess(text_bundle.example), 0, 2)

    def routing() -> None:
        for _ in range(EACH):
            decide(route, Tier.MOBILE, answer, look(found, answer, work, route))

    rounds = [cpu_seconds(routing) / EACH / cpu_seconds(blocks) for _ in range(ROUNDS)]
    assert median(rounds) < MOST
