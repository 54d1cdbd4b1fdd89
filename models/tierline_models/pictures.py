"""Photographs to run the image workload on: those shipped with two common packages, or the user's own.

Where scikit-learn or scikit-image is installed its photographs are read in place; otherwise its wheel is
fetched and they are taken out. Neither is a dependency, and nothing of them is run.
"""

import hashlib
import importlib.util
from pathlib import Path

from tierline_models.bundle import Sample
from tierline_models.errors import InputError
from tierline_models.fetch import Member, Package, fetch

MAX_BYTES = 32 * 2**20  # of one image file
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})

# Any platform's wheel holds the same photographs; naming one makes it the one whose sha256 we know.
_ANY_MACHINE = (
    *("--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"),
    *("--platform", "manylinux_2_28_x86_64"),
)


def _picture(path: str, size: int, sha256: str) -> Member:
    return Member(path=(path,), name=Path(path).name, size=size, sha256=sha256)


SHIPPED = (
    Package(
        name="scikit-learn",
        version="1.8.0",
        sha256="ada8121bcb4dac28d930febc791a69f7cb1673c8495e5eee274190b73a4559c1",
        size=9_103_788,
        wheel=True,
        pip_options=_ANY_MACHINE,
        members=(
            _picture(
                "sklearn/datasets/images/china.jpg",
                196_653,
                "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
            ),
            _picture(
                "sklearn/datasets/images/flower.jpg",
                142_987,
                "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
            ),
        ),
    ),
    Package(
        name="scikit-image",
        version="0.26.0",
        sha256="74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
        size=13_711_217,
        wheel=True,
        pip_options=_ANY_MACHINE,
        members=(
            _picture(
                "skimage/data/astronaut.png",
                791_555,
                "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
            ),
            _picture(
                "skimage/data/brick.png",
                106_634,
                "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf",
            ),
            _picture(
                "skimage/data/camera.png",
                139_512,
                "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
            ),
            _picture(
                "skimage/data/chelsea.png",
                240_512,
                "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
            ),
            _picture(
                "skimage/data/clock_motion.png",
                58_784,
                "f029226b28b642e80113d86622e9b215ee067a0966feaf5e60604a1e05733955",
            ),
            _picture(
                "skimage/data/coffee.png",
                466_706,
                "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
            ),
            _picture(
                "skimage/data/coins.png",
                75_825,
                "f8d773fc9cfa6f4d8e5942dc34d0a0788fcaed2a4fefbbed0aef5398d7ef4cba",
            ),
            _picture(
                "skimage/data/grass.png",
                217_893,
                "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89",
            ),
            _picture(
                "skimage/data/gravel.png",
                194_247,
                "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12",
            ),
            _picture(
                "skimage/data/hubble_deep_field.jpg",
                527_940,
                "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
            ),
            _picture(
                "skimage/data/moon.png",
                50_177,
                "78739619d11f7eb9c165bb5d2efd4772cee557812ec847532dbb1d92ef71f577",
            ),
            _picture(
                "skimage/data/motorcycle_left.png",
                644_701,
                "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
            ),
            _picture(
                "skimage/data/rocket.jpg",
                112_525,
                "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
            ),
        ),
    ),
)


def shipped_photographs() -> dict[str, bytes]:
    """Fifteen image files by name; fetches what is not installed at the first call, raises FetchError."""
    return {member.name: _read(package, member) for package in SHIPPED for member in package.members}


def photographs(path: Path | str) -> list[Sample]:
    """The image file at `path`, or all JPEG, PNG and WebP files in the folder and below it, sorted by path.

    They are taken as they are: whether one can be decoded shows when it is preprocessed. Raises InputError.
    """
    path = Path(path)
    try:
        if not path.is_dir():
            return [_sample(path)]
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        if not found:
            raise InputError(f"{path} and the folders in it hold no file called *.jpg, *.png or *.webp")
        return [_sample(file) for file in found]
    except OSError as error:
        raise InputError(f"{error.filename or path} cannot be read: {error.strerror or error}") from error


def _sample(file: Path) -> Sample:
    size = file.stat().st_size
    if size > MAX_BYTES:
        raise InputError(
            f"{file} has {size} bytes and {MAX_BYTES} are taken; leave it out or make it smaller"
        )
    return Sample(data=file.read_bytes(), label=None)


def _read(package: Package, member: Member) -> bytes:
    installed = _installed(member)
    return (fetch(package) / member.name).read_bytes() if installed is None else installed


def _installed(member: Member) -> bytes | None:
    """The photograph from an installed package, if that has it and it is the one that we know."""
    module, _, inside = member.path[0].partition("/")
    spec = importlib.util.find_spec(module)
    for folder in spec.submodule_search_locations or () if spec else ():
        file = Path(folder, inside)
        if file.is_file() and hashlib.sha256(content := file.read_bytes()).hexdigest() == member.sha256:
            return content
    return None
