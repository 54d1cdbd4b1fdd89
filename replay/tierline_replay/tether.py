"""Runs a Python module for as long as standard input stays open.

python -m tierline_replay.tether MODULE ARGUMENT...

Whoever starts it holds the other end of the pipe: when that program ends, however it ends, the pipe closes
and the module is asked to end, as by SIGTERM.
"""

import os
import runpy
import signal
import sys
import threading


def _end_with(source: int) -> None:
    while os.read(source, 4096):
        pass
    sys.stderr.write("standard input has ended, and so does this\n")
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Run the module that the command line names, with the arguments after it."""
    # The pipe is kept from the module, which may not expect one.
    source = os.dup(0)
    threading.Thread(target=_end_with, args=(source,), daemon=True, name="tether").start()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
