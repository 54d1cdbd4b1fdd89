"""Read a bundle's files: regular ones in its folder, of the size and sum that the manifest gives."""

import hashlib
import json
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Generic, TypeVar

from tierline_models.errors import BundleError

# What a bundle is: its digest, the identity on the wire, covers these.
PART = re.compile(
    r"graph\.json|example\.safetensors|tokenizer\.json|routes\.json|blocks/[0-9]{4,6}\.safetensors"
    r"|exits/[0-9]{4,6}\.(json|safetensors)",
    re.ASCII,
)
# What stands beside: measured of it, or the same in another form. Its seal covers these too.
BESIDE = re.compile(
    r"profile\.json|budgets\.json|calibrations\.safetensors|cartography\.(json|safetensors)"
    r"|onnx\.json|(blocks|exits)/[0-9]{4,6}\.onnx",
    re.ASCII,
)
_JSON_BYTES = 256 * 2**20
_HEADER_BYTES = 64 * 2**20
_CHUNK_BYTES = 2**20
_TYPES = {  # by safetensors' name: what torch and numpy call it, and its bytes
    "F64": ("float64", 8),
    "F32": ("float32", 4),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "I64": ("int64", 8),
    "I32": ("int32", 4),
    "I16": ("int16", 2),
    "I8": ("int8", 1),
    "U8": ("uint8", 1),
    "BOOL": ("bool", 1),
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightSpec:
    """Where a weight is and what it measures."""

    file: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in a file a tensor's bytes are, and what it measures."""

    begin: int
    end: int
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory(Generic[T]):
    """How a library holds tensors."""

    empty: Callable[[tuple[int, ...], str], tuple[T, memoryview]]  # one of this shape and type, and its bytes
    has_nan: Callable[[T], bool]


class Files:
    """The files of one bundle; each is checked in full the first time that something is read from it."""

    def __init__(self, folder: Path, parts: Mapping[str, Any], beside: Mapping[str, Any]) -> None:
        self.folder = folder
        self._listed = {**parts, **beside}
        self._checked: set[str] = set()
        for names, pattern in ((parts, PART), (beside, BESIDE)):
            for name in names:
                if not pattern.fullmatch(name):
                    raise BundleError(f"{folder} lists a file {name!r:.80}, which no bundle has there")

    def __contains__(self, name: object) -> bool:
        """Does the manifest list this file?"""
        return name in self._listed

    def __iter__(self) -> Iterator[str]:
        """Names of all files listed."""
        return iter(self._listed)

    def json(self, name: str) -> Any:
        """A JSON file."""
        return read_json(self.check(name))

    def text(self, name: str, *, limit: int = _JSON_BYTES) -> str:
        """A file of UTF-8 text of at most `limit` bytes."""
        path = self.check(name, limit=limit)
        try:
            return path.read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            raise BundleError(f"{path} is no UTF-8 text; fetch the bundle again") from error

    def read(self, name: str, wanted: Mapping[str, WeightSpec] | None, memory: Memory[T]) -> dict[str, T]:
        """Tensors of one file; all of them if it is not said which are wanted.

        The first time the whole file passes by once, for its sum and for the tensors.
        """
        path = self._sized(name)
        known = name in self._checked
        with path.open("rb") as file:
            reader = _Reader(path, file)
            found = reader.take(wanted, memory, all_of_it=not known)
        if not known:
            self._compare(name, reader.sum.hexdigest())
        for one, tensor in found.items():
            if memory.has_nan(tensor):
                raise BundleError(f"{path}: {one} holds values that are no numbers; the bundle is damaged")
        return found

    def places(self, name: str) -> dict[str, Place]:
        """Where in a file of weights each tensor lies, counted from the file's first byte."""
        path = self.check(name)
        with path.open("rb") as file:
            reader = _Reader(path, file)
        begin = reader.data
        return {
            key: replace(one, begin=begin + one.begin, end=begin + one.end)
            for key, one in reader.places.items()
        }

    def check(self, name: str, *, limit: int | None = None) -> Path:
        """The path of a file of at most `limit` bytes whose size and sum are as the manifest says."""
        path = self._sized(name)
        if limit is not None and regular_size(path) > limit:
            raise BundleError(f"{path} has more than {limit} bytes, more than any bundle needs")
        if name not in self._checked:
            with path.open("rb") as file:
                self._compare(name, hashlib.file_digest(file, "sha256").hexdigest())
        return path

    def _sized(self, name: str) -> Path:
        """The path of a regular file of the size listed."""
        path = self.folder / name
        listed = self._listed.get(name)
        if not isinstance(listed, dict):
            raise BundleError(f"{self.folder} lists no file {name}; the bundle is incomplete")
        for part in (path, *(self.folder / folder for folder in PurePosixPath(name).parents)):
            if part != self.folder and part.is_symlink():
                raise BundleError(f"{part} is a symbolic link; a bundle holds files only")
        size = regular_size(path)
        if size != listed.get("bytes"):
            raise BundleError(
                f"{path} has {size} bytes instead of {listed.get('bytes')}; fetch the bundle again"
            )
        return path

    def _compare(self, name: str, found: str) -> None:
        if found != self._listed[name].get("sha256"):
            raise BundleError(
                f"{self.folder / name} is not what the bundle was made with (its sha256 differs)"
            )
        self._checked.add(name)


class _Reader:
    """Reads tensors of a safetensors file from its first byte to its last, summing up what passes by.

    Read by ourselves and not mapped: a mapped file counts twice in memory while it is copied, and weights
    that begin where the file has them are not aligned, which changes how kernels sum.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.sum = hashlib.sha256()
        self._path, self._file = path, file
        size = regular_size(path)
        length = int.from_bytes(self._read(8), "little")
        if length > min(_HEADER_BYTES, size - 8):
            raise BundleError(f"{path} announces a header of {length} bytes, which it cannot have")
        self.data = 8 + length  # where the first tensor begins
        self._end = size
        self.places = _places(path, self._read(length), size - self.data)

    def take(
        self, wanted: Mapping[str, WeightSpec] | None, memory: Memory[T], *, all_of_it: bool
    ) -> dict[str, T]:
        """The tensors wanted, else every one; what lies between is read too, or skipped."""
        names = list(self.places) if wanted is None else list(wanted)
        for one in names:
            if one not in self.places:
                raise BundleError(f"{self._path} lacks the weight {one}; the bundle is incomplete")
            if wanted is not None:
                _check_spec(self._path, one, self.places[one], wanted[one])
        found = {}
        for one in sorted(names, key=lambda one: (self.places[one].begin, self.places[one].end)):
            self._pass(self.data + self.places[one].begin, all_of_it=all_of_it)
            found[one] = self._tensor(one, memory)
        self._pass(self._end, all_of_it=all_of_it)
        return {one: found[one] for one in names}

    def _pass(self, to: int, *, all_of_it: bool) -> None:
        if not all_of_it:
            self._file.seek(to)
            return
        while (left := to - self._file.tell()) > 0:
            self._read(min(left, _CHUNK_BYTES))

    def _read(self, length: int) -> bytes:
        data = self._file.read(length)
        if len(data) != length:
            raise BundleError(f"{self._path} ends too early; fetch the bundle again")
        self.sum.update(data)
        return data

    def _tensor(self, name: str, memory: Memory[T]) -> T:
        place = self.places[name]
        tensor, into = memory.empty(place.shape, place.dtype)
        if into.nbytes:
            if self._file.readinto(into) != place.end - place.begin:  # type: ignore[attr-defined]
                raise BundleError(f"{self._path} ends within {name}; fetch the bundle again")
            self.sum.update(into)
        return tensor


def regular_size(path: Path) -> int:
    """Bytes of a regular file."""
    try:
        found = path.lstat()
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror}); the bundle is incomplete") from error
    if not stat.S_ISREG(found.st_mode):
        raise BundleError(f"{path} is not a regular file; a bundle holds nothing else")
    return found.st_size


def read_json(path: Path) -> Any:
    """A JSON document of bounded size."""
    size = regular_size(path)
    if size > _JSON_BYTES:
        raise BundleError(f"{path} has {size} bytes, more than any bundle needs")
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is no JSON ({error!r:.80}); fetch the bundle again") from error


def _places(path: Path, header: bytes, size: int) -> dict[str, Place]:
    """Where each tensor of a safetensors file is, none over another, in `size` bytes of data."""
    try:
        listed = json.loads(header)
        places = {name: _place(one) for name, one in listed.items() if name != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError(f"{path} has no header of safetensors ({error!r:.80})") from error
    before = 0
    for name, place in sorted(places.items(), key=lambda one: (one[1].begin, one[1].end)):
        if not before <= place.begin <= place.end <= size:
            raise BundleError(f"{path}: {name} lies outside the file, or over another tensor")
        before = place.end
    return places


def _place(document: dict[str, Any]) -> Place:
    begin, end = map(int, document["data_offsets"])
    shape = tuple(map(int, document["shape"]))
    dtype, item_bytes = _TYPES[document["dtype"]]
    if min(shape, default=0) < 0 or len(shape) > 16:
        raise ValueError("a shape makes no sense")
    if end - begin != prod(shape) * item_bytes:
        raise ValueError("a tensor does not fill its place")
    return Place(begin=begin, end=end, shape=shape, dtype=dtype)


def _check_spec(path: Path, name: str, place: Place, spec: WeightSpec) -> None:
    if (place.shape, place.dtype) != (spec.shape, spec.dtype):
        found, listed = f"{place.dtype} of shape {place.shape}", f"{spec.dtype} of {spec.shape}"
        raise BundleError(f"{path}: {name} is {found}, the manifest says {listed}")
