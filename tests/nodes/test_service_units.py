"""The systemd units that run a node on a device."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "nodes"


@pytest.mark.parametrize(
    ("unit", "instance"),
    [
        ("tierline-node@.service", "tierline-node@edge.service"),
        ("tierline-tunnel.service", "tierline-tunnel.service"),
    ],
)
def test_systemd_understands_every_line(unit: str, instance: str, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    # The programs need not be installed here; this one is.
    text = (UNITS / unit).read_text().replace("/opt/tierline/.venv/bin/tierline", sys.executable)
    (tmp_path / instance).write_text(text.replace("/usr/bin/ssh", sys.executable))

    done = subprocess.run(
        [analyze, "verify", "--man=no", tmp_path / instance],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
