"""The component's errors.

ModelError
├── InputError        a raw input that no answer can be given for
├── SplitError        a model that cannot be split as asked
├── BundleError       a bundle that is unknown, incomplete or does not match
├── ActivationError   an activation whose values are not usable
│   └── ShapeError    ... or whose shape or type is not what this layer takes
└── FetchError        a package that could not be fetched, checked or unpacked
"""


class ModelError(Exception):
    """Base of everything this component raises on purpose."""


class InputError(ModelError):
    """A raw input that no answer can be given for; the message says why and what to send instead."""


class BundleError(ModelError):
    """A bundle that is unknown, incomplete or does not match what is asked of it."""


class SplitError(ModelError):
    """A model that cannot be split as asked; the message names the module and the cure."""


class ActivationError(ModelError):
    """An activation whose values cannot be used."""


class ShapeError(ActivationError):
    """An activation whose shape or type is not what the next block takes."""

    def __init__(self, layer: int, expected: str, actual: str) -> None:
        self.layer = layer
        self.expected = expected
        self.actual = actual
        super().__init__(
            f"the activation after block {layer} is {actual}, but this model takes {expected} there; "
            "check that both nodes run the same bundle"
        )


class FetchError(ModelError):
    """A package that could not be fetched, checked or unpacked."""
