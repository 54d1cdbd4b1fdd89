"""Which class of devices this machine belongs to: those that run a model at about the same speed."""

import platform
from pathlib import Path

import torch

_BOARD = Path("/sys/firmware/devicetree/base/model")  # what a Raspberry Pi calls itself
_PROCESSORS = Path("/proc/cpuinfo")


def device_class(device: torch.device | None = None) -> str:
    """`x86_64 AMD EPYC, 1 thread` or `NVIDIA H200`: what its profile is kept under."""
    if device is not None and device.type == "cuda":
        return _short(torch.cuda.get_device_name(device))
    threads = torch.get_num_threads()
    return f"{platform.machine()} {_short(_processor())}, {threads} thread{'s' * (threads > 1)}"


def one_thread() -> None:
    """Have torch compute as it does in a node: one sample at a time, in one thread."""
    torch.set_num_threads(1)


def _processor() -> str:
    try:
        return _BOARD.read_text(errors="replace").strip("\0 \n")
    except OSError:
        pass
    try:
        lines = _PROCESSORS.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (named or [platform.processor() or "unknown processor"])[0]


def _short(name: str) -> str:
    return " ".join(name.split())[:120]
