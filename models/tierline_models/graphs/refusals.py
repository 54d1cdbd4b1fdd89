"""What a user is told of a model that cannot be split: where, why, and what to do instead."""

from types import TracebackType

from torch import nn

from tierline_models.errors import SplitError

_CURE = "or list block boundaries by module path with `blocks=`"


def not_exported(model: nn.Module, error: BaseException) -> SplitError:
    """For a model that torch.export cannot trace."""
    path = _culprit(model, error.__traceback__)
    where = f"module {path!r} of {type(model).__name__}" if path else type(model).__name__
    return SplitError(
        f"torch.export cannot trace {where} ({_first_sentence(error)}); "
        f"make its control flow independent of the data, {_CURE}"
    )


def not_functional(why: str) -> SplitError:
    """For a graph that is more than a function of its inputs."""
    return SplitError(f"this model cannot be split by its graph: {why}; move it out of the model, {_CURE}")


def unknown_operator(op: str, path: str) -> SplitError:
    """For an operator that another machine may not have."""
    where = f" in module {path!r}" if path else ""
    return SplitError(
        f"the model calls the operator {op}{where}, which is not among those that a graph may use; "
        f"express it in PyTorch's own functions, {_CURE}"
    )


def no_points(model: nn.Module, size: str = "") -> SplitError:
    """For a model without any place to cut; `size` is one that could not be read off what travels."""
    if size:
        return SplitError(
            f"{type(model).__name__} has no useful split point: what comes later needs the size {size}, "
            "which cannot be read off what travels; fix that dimension (leave it out of `dynamic=`), "
            f"{_CURE}"
        )
    return SplitError(
        f"{type(model).__name__} has no useful split point: it does nothing between its input and its "
        f"output, or too much is alive everywhere in between; allow more with `max_tensors=`, {_CURE}"
    )


def _culprit(model: nn.Module, traceback: TracebackType | None) -> str:
    """The innermost module of the model on the way to where it failed."""
    paths = {id(module): path for path, module in model.named_modules()}
    found = ""
    while traceback is not None:
        found = paths.get(id(traceback.tb_frame.f_locals.get("self")), "") or found
        traceback = traceback.tb_next
    return found


def _first_sentence(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = lines[0] if lines else ""
    return f"{type(error).__name__}: {first[:160].rstrip('.: ')}" if first else type(error).__name__
