"""Take one sample through this node's stage, in the worker thread: decode, run, decide, encode."""

from dataclasses import dataclass, replace
from typing import Any

from tierline_broker import RAW_INPUT, Answer, Route, Tier, Work
from tierline_codecs import CodecError
from tierline_models import ActivationError, InputError, Served
from tierline_nodes.activation import pack, unpack
from tierline_nodes.coding import Coder
from tierline_nodes.errors import SampleError
from tierline_nodes.routing import Answered, Decision, Onward, decide, exit_within, target_layer
from tierline_nodes.sight import Sight, look
from tierline_nodes.stopwatch import NOTHING, Spent, Stopwatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """A sample after this stage, and what that took."""

    decision: Decision | None  # None: passed on as it came, nothing was computed
    layer: int  # blocks computed so far
    best: Answer | None  # the best exit so far, here or before
    payload: bytes = b""  # what travels on, with its codec; empty for a sample that is answered
    codec: str = RAW_INPUT
    payload_layer: int = 0  # 0 where the raw input travels on
    array_bytes: int = 0  # of the activation in the payload; 0 where the raw input travels on
    noted: tuple[str, ...] = ()  # why the codec is not the plan's
    sight: Sight | None = None  # at the exit reached here, where the bundle's cartography knows it
    decode: Spent = NOTHING
    compute: Spent = NOTHING
    encode: Spent = NOTHING


def pass_stage(
    bundle: Served, coder: Coder, work: Work, route: Route, tier: Tier, rate: float | None = None
) -> Passed:
    """Bring the sample to the end of this stage and decide where it goes.

    A sample that its exit lets go is not computed any further, though the stage reach beyond that exit.

    Args:
        bundle: the model.
        coder: of its activations.
        work: the sample.
        route: this node's own stage first.
        tier: this node's.
        rate: bytes a second of the link to the next stage's node, where that is known.

    Raises:
        SampleError: the payload is no input or activation of this model.
    """
    last = _reach(bundle, work, route)
    watch = Stopwatch()
    state = _received(bundle, coder, work)
    decoded = watch.lap()
    exit_layer = exit_within(work.layer, last, tuple(bundle.model.exits))
    layer, answer, sight = work.layer, None, None
    if exit_layer is not None:
        state, layer = bundle.model.run(state, layer, exit_layer), exit_layer
        answer = _answer(bundle, layer, state)
        sight = look(bundle.cartography, answer, work, route)
    if answer is not None and sight is not None:
        answer = answer.model_copy(update={"confidence": sight.judged.confidence})
    decision = decide(route, tier, answer, sight)
    if isinstance(decision, Onward) and decision.stage.codec != RAW_INPUT:
        state, layer = bundle.model.run(state, layer, last), last
    passed = Passed(
        decision=decision,
        layer=layer,
        best=answer or work.best,
        sight=sight,
        decode=decoded,
        compute=watch.lap(),
    )
    if isinstance(decision, Answered):
        return passed
    return _packed(bundle, passed, coder, decision.stage.codec, work, state, rate)


def _reach(bundle: Served, work: Work, route: Route) -> int:
    """Return the layer that this stage ends at; the node must hold its blocks."""
    held, exits = len(bundle.model.blocks), tuple(bundle.model.exits)
    if len(route.stages) == 1 and (not exits or work.layer >= exits[-1]):
        raise SampleError("no-exit", f"no exit lies after layer {work.layer} in the {held} blocks held here")
    last = target_layer(route, work.layer, exits)
    if last > held:
        raise SampleError("bad-layer", f"layer {last} is beyond the {held} blocks that this node holds")
    return last


def _received(bundle: Served, coder: Coder, work: Work) -> Any:
    """Return what block `work.layer` + 1 takes: the prepared input, or the activation that arrived."""
    try:
        if work.codec == RAW_INPUT:
            return bundle.model.preprocess(work.payload)
        return unpack(bundle.model, coder, work.layer, work.payload, work.codec)
    except InputError as exc:
        raise SampleError("bad-input", str(exc)) from exc
    except CodecError as exc:
        code = exc.code if exc.code == "no-calibration" else "bad-frame"
        raise SampleError(code, str(exc)) from exc
    except ActivationError as exc:
        raise SampleError("bad-activation", str(exc)) from exc


def _answer(bundle: Served, layer: int, state: Any) -> Answer:
    try:
        found = bundle.model.exit(layer, state)
    except ActivationError as exc:
        raise SampleError("bad-activation", str(exc)) from exc
    return Answer(output=found.logits, label=found.label, confidence=found.confidence, layer=layer)


def _packed(
    bundle: Served,
    passed: Passed,
    coder: Coder,
    codec: str,
    work: Work,
    state: Any,
    rate: float | None,
) -> Passed:
    """Return `passed` with what travels on: the raw input where the plan says so and it came here raw."""
    if codec == RAW_INPUT and work.codec == RAW_INPUT:
        return replace(passed, payload=work.payload)
    watch = Stopwatch()
    try:
        coded = pack(bundle.model, coder, passed.layer, state, codec, rate)
    except CodecError as exc:
        raise SampleError("bad-activation", f"the activation after block {passed.layer}: {exc}") from exc
    return replace(
        passed,
        payload=coded.payload,
        codec=coded.codec,
        payload_layer=passed.layer,
        array_bytes=coded.array_bytes,
        noted=coded.noted,
        encode=watch.lap(),
    )
