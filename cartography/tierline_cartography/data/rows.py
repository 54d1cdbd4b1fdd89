"""One labelled text, and a task made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tierline_cartography.errors import DataError


@dataclass(frozen=True, slots=True)
class Row:
    """One text, or a pair of them, and its class."""

    text: str
    label: int
    pair: str = ""
    soft: float | None = None  # how probable class 1 is held to be, where people disagreed

    @property
    def whole(self) -> str:
        """Both texts of a pair as one."""
        return f"{self.text} {self.pair}" if self.pair else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Rows to train on, to fit thresholds on and to report on; no text of one is in another."""

    name: str
    classes: tuple[str, ...]
    train: tuple[Row, ...]
    validation: tuple[Row, ...]
    test: tuple[Row, ...]
    shifted: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)  # other sources of the same task
    left_out: int = 0  # rows of a table of one's own that are in no part


def check_rows(rows: Sequence[Row], where: str, classes: int) -> None:
    """Refuse what nothing can be learned from: no rows, or one class only."""
    if not rows:
        raise DataError(f"{where} holds no rows; give a file with a header line and at least one row a class")
    missing = sorted(set(range(classes)) - {row.label for row in rows})
    if missing:
        raise DataError(
            f"{where} holds no row of class {', '.join(map(str, missing))}; "
            f"every one of the {classes} classes needs some"
        )
