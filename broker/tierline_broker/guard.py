"""Runs one command for as long as standard input stays open, so that a broker never outlives its program.

Started by file path in an isolated interpreter; it may import the standard library only. Whoever starts it
holds the other end of the pipe: when that program ends, however it ends, the pipe closes and the broker goes.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading

GRACE_SECONDS = 2.0


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Ask the command to end, then insist."""
    child.terminate()
    try:
        child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()


def _stop_at_end(source: int, child: subprocess.Popen[bytes], ended: threading.Event) -> None:
    while os.read(source, 4096):
        pass
    ended.set()
    _stop(child)


def main(folder: str, *command: str, source: int = 0) -> int:
    """Run `command`, say its process id on stdout, and return its exit code.

    Args:
        folder: what the command was given; removed once nobody can ask for it any more.
        command: the command line.
        source: file descriptor whose end says that we shall go; standard input.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    ended = threading.Event()
    try:
        sys.stdout.write(f"{child.pid}\n")
        sys.stdout.flush()
        threading.Thread(target=_stop_at_end, args=(source, child, ended), daemon=True).start()
        return child.wait()
    finally:
        _stop(child)
        if ended.is_set():
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
