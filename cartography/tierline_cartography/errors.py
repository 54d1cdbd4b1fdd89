"""The component's errors.

CartographyError
├── DataError       rows that are missing, malformed or unfit to learn from
├── DrawingError    a picture that cannot be drawn or written
├── RecipeError     choices that no run is possible with
├── RecordError     a file of records that is missing, damaged or of another version
├── PoolError       pools or thresholds that cannot be had as asked
└── TrainingError   training that broke off; it says from where it can be resumed
"""


class CartographyError(Exception):
    """Base of everything this component raises on purpose."""


class DataError(CartographyError):
    """Rows that are missing, malformed or unfit to learn from; the message names the file and the row."""


class DrawingError(CartographyError):
    """A picture that cannot be drawn or written."""


class RecipeError(CartographyError):
    """Choices that no run is possible with."""


class RecordError(CartographyError):
    """A file of records that is missing, damaged or of another version."""


class PoolError(CartographyError):
    """Pools or thresholds that cannot be had as asked."""


class TrainingError(CartographyError):
    """Training that broke off: a loss that is no number, a full disk."""
