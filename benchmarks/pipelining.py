"""What torch.distributed.pipelining cuts of the same models: places, other batches, what it asks for.

It is given every block of the model by name, at once; we the model and its example. A model counts as cut if
its parts give the very tensors that the whole gives.
"""

import argparse
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from split import architectures
from torch import Tensor, nn
from torch.distributed.pipelining import SplitPoint, pipeline
from torch.utils._pytree import tree_leaves

from tests.models import test_split as odd
from tests.models.zoo import Example
from tierline_models import SplitError, split

BATCH = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What came of cutting one model."""

    places: int
    names: int  # of modules that the user had to give
    other_batch: bool  # does it run on three samples, too?


def main() -> None:
    """Measure, and print rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    torch.manual_seed(0)
    warnings.simplefilter("ignore")  # torch's own, about its own insides
    models = architectures() if not quick else dict(list(architectures().items())[2:4])
    rows = [_row(name, ours(example), theirs(example)) for name, example in models.items()]
    for name, (model, blocks) in odd_models().items():
        example = model.eval(), (torch.randn(2, 4),)
        rows.append(_row(name, ours(example, blocks), theirs(example, blocks)))
    print(json.dumps(rows))


def odd_models() -> dict[str, tuple[nn.Module, list[str]]]:
    """What is hard to trace, and the blocks that a user would name."""
    return {
        "a branch on the data": (odd.Branching(), ["inner.0", "inner.1"]),
        "state changed in place": (odd.Counting(), ["one", "two"]),
        "an operator of one's own": (odd.Custom(), ["one", "two"]),
    }


def ours(example: Example, blocks: Sequence[str] = ()) -> Cut:
    """Split without being told anything, else at the blocks named."""
    model, inputs = example
    for names in ((), blocks) if blocks else ((),):
        try:
            cut = split(model, inputs, blocks=names or None, every=True)
        except SplitError:
            continue

        def run(k: int, *given: Tensor, cut: Any = cut) -> Any:
            return cut.tail(k)(cut.head(k)(*given))

        good = [k for k in range(len(cut.points)) if _equal(model, lambda *x, k=k: run(k, *x), inputs)]
        other = bool(good) and all(
            _equal(model, lambda *x, k=k: run(k, *x), _batch(inputs)) for k in (good[0], good[-1])
        )
        return Cut(places=len(good), names=len(names), other_batch=other)
    return Cut(places=0, names=len(blocks), other_batch=False)


def theirs(example: Example, blocks: Sequence[str] = ()) -> Cut:
    """Cut before each block named."""
    model, inputs = example
    names = list(blocks) or named_blocks(model)
    spec = dict.fromkeys(names, SplitPoint.BEGINNING)
    try:
        pipe = pipeline(model, mb_args=inputs, split_spec=spec)
    except Exception:  # noqa: BLE001 - whatever it raises, it did not cut
        return Cut(places=0, names=len(names), other_batch=False)
    same = _equal(model, pipe, inputs)
    return Cut(
        places=pipe.num_stages - 1 if same else 0,
        names=len(names),
        other_batch=same and _equal(model, pipe, _batch(inputs)),
    )


def named_blocks(model: nn.Module) -> list[str]:
    """What a user would name: the members of lists and sequences, and what stands beside them."""
    found: list[str] = []
    for path, module in model.named_modules():
        if isinstance(module, nn.ModuleList | nn.Sequential) and not _within(path, found):
            found += [f"{path}.{name}" if path else name for name, _ in module.named_children()]
    beside = [name for name, _ in model.named_children() if not any(_within(one, [name]) for one in found)]
    return found + beside


def _within(path: str, places: Sequence[str]) -> bool:
    return any(path == place or path.startswith(f"{place}.") for place in places)


def _batch(inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(torch.cat([one] * BATCH) for one in inputs)


def _equal(model: nn.Module, cut: Callable[..., Any], inputs: Sequence[Tensor]) -> bool:
    with torch.no_grad():
        try:
            pairs = zip(tree_leaves(cut(*inputs)), tree_leaves(model(*inputs)), strict=True)
            return all(torch.equal(one, other) for one, other in pairs)
        except Exception:  # noqa: BLE001 - it does not run
            return False


def _row(name: str, we: Cut, they: Cut) -> dict[str, Any]:
    return {
        "claim": f"{name}: places to cut",
        "value": we.places,
        "reach": 1,
        "better": "higher",
        "unit": "places",
        "spread": [we.places, we.places],
        "runs": 1,
        "table": {
            "model": name,
            "places, ours": str(we.places),
            "names to give": str(we.names),
            "runs on another batch": _yes(we),
            "places, pipelining": str(they.places),
            "names to give it": str(they.names),
            "it runs on another batch": _yes(they),
        },
    }


def _yes(cut: Cut) -> str:
    if not cut.places:
        return "-"
    return "yes" if cut.other_batch else "no"


if __name__ == "__main__":
    main()
