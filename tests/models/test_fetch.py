import gzip
import hashlib
import io
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tierline_models import FetchError
from tierline_models import fetch as fetch_module
from tierline_models.fetch import Member, Package, cache_folder, fetch

WANTED = b"what we want\n"
METADATA = "Metadata-Version: 2.1\nName: toybox\nVersion: 1.0\n"


def member(*path: str, content: bytes = WANTED) -> Member:
    return Member(path=path, name="wanted.txt", size=len(content), sha256=hashlib.sha256(content).hexdigest())


def package(archive: Path, *, wheel: bool, wanted: Member) -> Package:
    content = archive.read_bytes()
    return Package(
        name="toybox",
        version="1.0",
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        wheel=wheel,
        members=(wanted,),
    )


def tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(buffer.getvalue())


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all pip knows of package indexes, and an empty cache."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("TIERLINE_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def wheel(index: Path) -> Path:
    archive = index / "toybox-1.0-py3-none-any.whl"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("toybox/wanted.txt", WANTED)
        file.writestr("toybox/other.txt", b"not wanted")
        file.writestr("toybox-1.0.dist-info/METADATA", METADATA + "Requires-Dist: nowhere-to-be-found\n")
        file.writestr("toybox-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr("toybox-1.0.dist-info/RECORD", "")
    return archive


@pytest.fixture
def sdist(index: Path, tmp_path: Path) -> Path:
    """A source distribution whose setup.py would leave a mark."""
    archive = index / "toybox-1.0.tar.gz"
    setup = f"open({str(tmp_path / 'setup-was-run')!r}, 'w')\nfrom setuptools import setup\nsetup()\n"
    archive.write_bytes(
        tar(
            {
                "toybox-1.0/setup.py": setup.encode(),
                "toybox-1.0/PKG-INFO": METADATA.encode(),
                "toybox-1.0/inner.tar.gz": tar({"inner/wanted.txt": WANTED}),
            }
        )
    )
    return archive


def test_the_wanted_file_of_a_wheel_is_fetched_without_its_dependencies(wheel: Path):
    folder = fetch(package(wheel, wheel=True, wanted=member("toybox/wanted.txt")))

    assert [path.name for path in folder.iterdir()] == ["wanted.txt"]
    assert (folder / "wanted.txt").read_bytes() == WANTED


def test_a_file_in_an_archive_in_a_source_distribution_is_fetched_and_nothing_is_run(
    sdist: Path, tmp_path: Path
):
    wanted = member("toybox-1.0/inner.tar.gz", "inner/wanted.txt")

    folder = fetch(package(sdist, wheel=False, wanted=wanted))

    assert (folder / "wanted.txt").read_bytes() == WANTED
    assert not (tmp_path / "setup-was-run").exists()


def test_the_cache_holds_only_what_is_complete(wheel: Path):
    fetch(package(wheel, wheel=True, wanted=member("toybox/wanted.txt")))

    names = {path.name for path in (cache_folder() / "packages").iterdir()}
    assert names == {"toybox-1.0", ".toybox-1.0.lock"}


def test_what_is_in_the_cache_is_not_fetched_again(wheel: Path):
    wanted = package(wheel, wheel=True, wanted=member("toybox/wanted.txt"))
    folder = fetch(wanted)
    wheel.unlink()

    assert fetch(wanted) == folder


def test_a_damaged_cache_is_filled_again(wheel: Path):
    wanted = package(wheel, wheel=True, wanted=member("toybox/wanted.txt"))
    (fetch(wanted) / "wanted.txt").write_bytes(b"cut")

    assert (fetch(wanted) / "wanted.txt").read_bytes() == WANTED


def test_many_who_ask_at_once_fetch_once(wheel: Path, monkeypatch: pytest.MonkeyPatch):
    runs = []
    run_pip = fetch_module._run_pip
    monkeypatch.setattr(fetch_module, "_run_pip", lambda *args: runs.append(args) or run_pip(*args))
    wanted = package(wheel, wheel=True, wanted=member("toybox/wanted.txt"))

    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(fetch, [wanted] * 4))

    assert len(set(folders)) == 1
    assert len(runs) == 1


def test_an_index_that_serves_another_file_is_refused(wheel: Path):
    wanted = replace(package(wheel, wheel=True, wanted=member("toybox/wanted.txt")), sha256="0" * 64)

    with pytest.raises(FetchError, match="not the one we know"):
        fetch(wanted)
    assert not (cache_folder() / "packages" / "toybox-1.0").exists()


def test_a_package_that_is_nowhere_is_said_to_be_so(index: Path):
    wanted = Package(
        name="toybox", version="1.0", sha256="0" * 64, size=1, wheel=True, members=(member("a"),)
    )

    with pytest.raises(FetchError, match=r"could not fetch toybox==1\.0 .*check the network") as caught:
        fetch(wanted)
    assert "\n" not in str(caught.value)


def test_a_machine_without_network_is_told_to_check_it(index: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    wanted = Package(
        name="toybox", version="1.0", sha256="0" * 64, size=1, wheel=True, members=(member("a"),)
    )

    with pytest.raises(FetchError, match=r"could not fetch toybox==1\.0 .*check the network"):
        fetch(wanted)


@pytest.mark.parametrize(
    "wanted",
    [
        member("toybox/wanted.txt", content=b"what we wand\n"),
        member("toybox/wanted.txt", content=WANTED[:-1]),
        member("toybox/wanted.txt", content=WANTED + b"."),
    ],
    ids=["other content", "longer than known", "shorter than known"],
)
def test_a_file_that_is_not_the_known_one_is_not_kept(wheel: Path, wanted: Member):
    with pytest.raises(FetchError, match="not the file that we know"):
        fetch(package(wheel, wheel=True, wanted=wanted))
    assert not (cache_folder() / "packages" / "toybox-1.0").exists()


@pytest.mark.parametrize("path", [("toybox/absent.txt",), ("toybox/wanted.txt", "inside.txt")])
def test_a_file_that_is_not_there_is_named(wheel: Path, path: tuple[str, ...]):
    with pytest.raises(FetchError, match=f"{path[-1]} cannot be read from its package"):
        fetch(package(wheel, wheel=True, wanted=member(*path)))


def test_a_cache_that_cannot_be_written_is_named_with_its_cure(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TIERLINE_CACHE", str(tmp_path / "file"))

    with pytest.raises(FetchError, match="set TIERLINE_CACHE"):
        fetch(package(wheel, wheel=True, wanted=member("toybox/wanted.txt")))


def test_a_python_without_pip_is_told_how_to_get_it(wheel: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(FetchError, match="-m ensurepip"):
        fetch(package(wheel, wheel=True, wanted=member("toybox/wanted.txt")))


def test_a_download_that_never_ends_is_given_up(wheel: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fetch_module, "PIP_SECONDS", 0.01)

    with pytest.raises(FetchError, match="faster network"):
        fetch(package(wheel, wheel=True, wanted=member("toybox/wanted.txt")))


def test_the_cache_is_the_users_unless_chosen(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TIERLINE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")

    assert cache_folder().name == "tierline"
