"""What decides how a training run ends, besides the model and the data."""

from dataclasses import asdict, dataclass
from typing import Literal

from tierline_cartography.errors import RecipeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The switches of a run; the same recipe, data, machine and build give the same weights."""

    seed: int = 0
    epochs: int = 5
    batch: int = 32
    rate: float = 1e-4  # of AdamW for the encoder at its peak
    head_rate: float = 1e-3  # for everything new: heads, adapters
    warm_share: float = 0.06  # of the steps, before the rate falls linearly to 0
    decay: float = 0.01
    clip: float = 1.0
    dropout: float = 0.1
    weighting: Literal["depth", "equal"] = "depth"  # of the exits' losses: by their layer, or all alike
    distil: float = 0.0  # share of the last exit's answer in the other exits' targets
    alternate: bool = False  # every other step trains the last exit alone (BERxiT, EACL 2021)
    adapter: bool = False  # train low-rank matrices beside the encoder instead of the encoder
    attentive: bool = False  # heads weigh the words by what they learn to look for, not all alike
    precision: Literal["auto", "bf16", "fp32"] = "auto"  # auto: bf16 where the machine has it

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1 or not 0 <= self.distil < 1 or not 0 <= self.dropout < 1:
            raise RecipeError(
                f"no run is possible with epochs {self.epochs}, batch {self.batch}, distil {self.distil} and "
                f"dropout {self.dropout}; epochs and batch are at least 1, the other two from 0 to below 1"
            )

    def as_dict(self) -> dict[str, object]:
        """As a document holds it."""
        return asdict(self)

    def slope(self, step: int, steps: int) -> float:
        """What the rate is at this step, as a share of its peak: up to 1, then down to 0."""
        warm = max(1, round(steps * self.warm_share))
        return (step + 1) / warm if step < warm else (steps - step) / max(1, steps - warm)
