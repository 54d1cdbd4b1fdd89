"""The scheduler component's errors, one small tree.

SchedulerError
├── ObjectiveError   an objective that no plan could be judged by
└── RefusedError     a record that is well formed, and yet cannot be planned with
"""


class SchedulerError(Exception):
    """Base of everything this component raises; its text says what, where and what to do."""


class ObjectiveError(SchedulerError):
    """An objective that no plan could be judged by; the text names the field and its range."""


class RefusedError(SchedulerError):
    """A record that is well formed, and yet cannot be planned with: it is left out, nothing else changes.

    Attributes:
        node: whose record it is.
    """

    def __init__(self, node: str, message: str) -> None:
        self.node = node
        super().__init__(f"{node}: {message}")
