"""What `make` promises before anything is installed: it names what is missing, and what it removes."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with what `make` reads, and nothing installed."""
    for name in ("Makefile", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def _make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def _python(folder: Path, failing: str) -> Path:
    """A Python that cannot do one thing."""
    python = folder / "python"
    python.write_text(f'#!/bin/sh\ncase "$*" in *"{failing}"*) exit 1;; esac\nexec python3 "$@"\n')
    python.chmod(0o755)
    return python


def test_help_is_the_default_and_lists_what_there_is(clone: Path) -> None:
    told = _make(clone).stdout

    listed = {line.split()[0] for line in told.splitlines() if line.startswith("  ")}
    assert listed == {"help", "demo", "test", "check", "bench", "cartography", "docs", "install", "clean"}


def test_a_missing_python_is_named_with_the_line_that_installs_it(clone: Path) -> None:
    done = _make(clone, "demo", "PYTHON=")

    assert done.returncode != 0
    assert "Tierline needs Python 3.11 or newer" in done.stderr
    assert "install" in done.stderr.splitlines()[1]


def test_a_python_without_venv_is_named_with_the_line_that_installs_it(clone: Path) -> None:
    done = _make(clone, "demo", f"PYTHON={_python(clone, 'import ensurepip, venv')}")

    assert done.returncode != 0
    assert "lacks venv" in done.stderr
    assert "apt-get install -y python3." in done.stderr
    assert not (clone / ".venv").exists()


def test_setting_up_leaves_stdout_to_what_is_asked_for(clone: Path) -> None:
    """So that the first `make demo DEMO=--json` on a fresh clone prints one document too."""
    python = clone / "python"
    python.write_text(
        '#!/bin/sh\ncase "$*" in "-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python;;\n'
        '*--no-deps*) echo "Successfully installed torch";; esac\n'
    )
    python.chmod(0o755)

    done = _make(clone, "install", f"PYTHON={python}")

    assert (done.returncode, done.stdout) == (0, "")
    assert "installing Tierline" in done.stderr
    assert "Successfully installed torch" in done.stderr


def test_a_second_run_has_nothing_to_do(clone: Path) -> None:
    (clone / ".venv").mkdir()
    for stamp in (".pip", ".torch", ".project", ".test", ".lint"):
        (clone / ".venv" / stamp).touch()

    done = _make(clone, "install")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_clean_names_what_it_removes_the_cache_included_and_nothing_else(clone: Path) -> None:
    cache = clone / "cache"
    for made in (".venv/bin", "tests/__pycache__", ".mypy_cache", "cache/packages/weights"):
        (clone / made).mkdir(parents=True)
    (cache / "mine.txt").touch()

    done = _make(clone, "clean", f"TIERLINE_CACHE={cache}")

    assert done.stdout.splitlines() == [
        "removing .venv",
        f"removing {cache}/packages",
        "removing .mypy_cache",
    ]
    assert {path.name for path in clone.iterdir()} == {
        "Makefile", "constraints.txt", "pyproject.toml", "tests", "cache"
    }  # fmt: skip
    assert [path.name for path in cache.iterdir()] == ["mine.txt"]


def test_clean_without_anything_made_is_content(clone: Path) -> None:
    done = _make(clone, "clean", f"TIERLINE_CACHE={clone / 'cache'}")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
