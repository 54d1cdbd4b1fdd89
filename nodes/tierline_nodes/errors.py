"""The node component's errors, one small tree.

NodeError
├── SampleError       one sample cannot be worked on; becomes a typed failure for its origin
├── CalledBackError   a sample need not leave any more; it is answered here
├── EmulationError    a line of emulated conditions makes no sense
└── ParentGoneError      the process that feeds us conditions has ended, so shall we
"""


class NodeError(Exception):
    """Base of everything this component raises; its text says what, where and what to do."""


class SampleError(NodeError):
    """One sample cannot be worked on.

    Attributes:
        code: short machine-readable reason, as it travels in `Failure.code`.
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class CalledBackError(NodeError):
    """A sample need not leave any more: it would not get there in time."""


class EmulationError(NodeError):
    """A line of emulated conditions makes no sense."""


class ParentGoneError(NodeError):
    """The process that feeds us conditions has ended, so shall we."""
