"""Where a run stands, on disk: written whole or not at all, read without executing anything."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tierline_cartography.errors import RecordError, TrainingError

VERSION = 1
NAME = "checkpoint.safetensors"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything that the next step depends on."""

    step: int  # steps done
    identity: str  # of recipe, data and network: a checkpoint of another run does not fit
    tensors: dict[str, Tensor]


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the folder's checkpoint in one step; the former one stands if that fails."""
    scratch = folder / f".{NAME}.{os.getpid()}"
    metadata = {"version": str(VERSION), "step": str(checkpoint.step), "identity": checkpoint.identity}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: one.contiguous() for name, one in checkpoint.tensors.items()}, scratch, metadata)
        with scratch.open("rb") as file:
            os.fsync(file.fileno())
        scratch.replace(folder / NAME)
    except (OSError, SafetensorError) as error:
        scratch.unlink(missing_ok=True)
        raise TrainingError(
            f"cannot keep the checkpoint of step {checkpoint.step} in {folder} ({error}); "
            "make room and run the same command again: it goes on from the checkpoint before"
        ) from error


def read_checkpoint(folder: Path, identity: str) -> Checkpoint | None:
    """The folder's checkpoint, None where there is none; raises RecordError if it is of another run.

    What is left of one that was being written when its run was killed is removed.
    """
    for left in folder.glob(f".{NAME}.*"):
        left.unlink(missing_ok=True)
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("version") != str(VERSION) or metadata.get("identity") != identity:
                raise RecordError(
                    f"{path} is of another run (other data, recipe or release); "
                    "remove it or choose another --out"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 it is no dict
            return Checkpoint(int(metadata["step"]), identity, tensors)
    except (OSError, SafetensorError, ValueError) as error:
        raise RecordError(f"{path} is damaged ({error}); remove it to begin again") from error


def identity_of(*parts: object) -> str:
    """A digest of whatever decides a run, values of plain types."""
    import hashlib

    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An AdamW's state by parameter number and name."""
    state = optimiser.state_dict()["state"]
    return {
        f"{number}.{name}": torch.as_tensor(one)
        for number, kept in state.items()
        for name, one in kept.items()
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Undo `optimiser_tensors`."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, one in tensors.items():
        number, _, part = name.partition(".")
        state.setdefault(int(number), {})[part] = one
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
