"""The component's errors, one small tree.

ReplayError
├── TraceError            a trace that cannot be read or replayed
├── ChildError            a program that we started ended by itself
│   └── ChildRefusedError ... because it could not do what the user asked
├── StartError            the deployment did not come up in time
└── PlotError             what draws the plot is not installed
"""

from collections.abc import Sequence


class ReplayError(Exception):
    """Base of everything this component raises; its text says what, where and what to do."""


class TraceError(ReplayError):
    """A trace that cannot be read or replayed; the text names the file and the line."""


class ChildError(ReplayError):
    """A program that we started ended by itself.

    Attributes:
        name: what it is called.
        code: its exit code; negative for the signal that ended it.
        last_lines: the last it said on stderr.
    """

    def __init__(self, name: str, code: int, last_lines: Sequence[str]) -> None:
        self.name = name
        self.code = code
        self.last_lines = tuple(last_lines)
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        words = f"; its last lines:\n{chr(10).join(last_lines)}" if last_lines else ", without a word"
        super().__init__(f"the {name} process {how}{words}")


class ChildRefusedError(ChildError):
    """A program that we started could not do what the user asked; its last line says why."""

    def __init__(self, name: str, code: int, last_lines: Sequence[str]) -> None:
        super().__init__(name, code, last_lines)
        if last_lines:
            self.args = (last_lines[-1].removeprefix(f"tierline {name}: "),)


class StartError(ReplayError):
    """The deployment did not come up in time; the text says what is missing."""


class PlotError(ReplayError):
    """What draws the plot is not installed; the text names the command that installs it."""
