"""What a node says of its battery."""

from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from tierline_nodes.telemetry import read_battery


@pytest.mark.parametrize(
    ("found", "charge"),
    [(None, None), (SimpleNamespace(percent=50.0), 0.5), (SimpleNamespace(percent=100.4), 1.0)],
)
def test_the_charge_is_a_share(found: Any, charge: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "sensors_battery", lambda: found, raising=False)

    assert read_battery() == charge


def test_a_system_that_cannot_tell_has_no_battery(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise FileNotFoundError(2, "No such file or directory", "/sys/class/power_supply")

    monkeypatch.setattr(psutil, "sensors_battery", fail, raising=False)
    assert read_battery() is None

    monkeypatch.delattr(psutil, "sensors_battery")
    assert read_battery() is None
