"""What counts as an input, and what is refused before anything is sent."""

import io
import os
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from tierline import folders, inputs
from tierline.errors import UsageError
from tierline.inputs import MAX_FILE_BYTES, Input, read_inputs


def _read(*arguments: str, stdin: bytes = b"", monkeypatch: pytest.MonkeyPatch) -> list[Input]:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(stdin)))
    return read_inputs(arguments)


def test_words_are_text() -> None:
    assert [one.data for one in read_inputs(["so so", "größer"])] == [b"so so", "größer".encode()]


def test_a_path_is_the_files_bytes(tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"\xff\xd8\x00")

    assert read_inputs([str(photo)]) == [Input(shown="photo.jpg", data=b"\xff\xd8\x00")]


def test_a_hyphen_is_the_lines_of_stdin_without_the_blank_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    read = _read("first", "-", stdin=b"one\r\n\n  \ntwo", monkeypatch=monkeypatch)

    assert [one.data for one in read] == [b"first", b"one", b"two"]


def test_long_text_is_sent_whole_and_shown_short() -> None:
    (one,) = read_inputs(["word\n" * 1000])

    assert len(one.data) == 5000
    assert len(one.shown) == 60


@pytest.mark.parametrize("missing", ["photo.jpg", "holiday/photo", "./notes.TXT"])
def test_what_can_only_be_a_path_must_exist(missing: str) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        read_inputs([missing])


@pytest.mark.parametrize("empty", ["", "   ", "\n\t"])
def test_empty_text_is_refused(empty: str) -> None:
    with pytest.raises(UsageError, match="is empty"):
        read_inputs([empty])


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.png").touch()

    with pytest.raises(UsageError, match=r"photo.png is empty"):
        read_inputs([str(tmp_path / "photo.png")])


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "film.txt").open("wb") as film:
        film.truncate(MAX_FILE_BYTES + 1)

    with pytest.raises(UsageError, match="choose a smaller file"):
        read_inputs([str(tmp_path / "film.txt")])


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `photos`, in which the tests run, with three images among other things."""
    files = {
        "b.JPG": b"second",
        "a.png": b"first",
        "z/c.webp": b"third",
        "z/notes.txt": b"no image",
        ".hidden.jpg": b"hidden",
        ".thumbnails/a.jpg": b"hidden",
    }
    for name, data in files.items():
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(data)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


THREE = [
    Input(shown="a.png", data=b"first"),
    Input(shown="b.JPG", data=b"second"),
    Input(shown="z/c.webp", data=b"third"),
]


def test_a_folder_is_the_images_in_it_and_below_it_sorted(photos: Path) -> None:
    for argument in (str(photos), "photos", "photos/", "./photos"):
        told: list[str] = []
        assert read_inputs([argument], tell=told.append) == THREE
        assert told == [f"left out of {Path(argument)}: z/notes.txt"]


def test_what_a_folder_holds_that_cannot_be_sent_is_left_out_and_named(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "MAX_FILE_BYTES", 100)
    (photos / "empty.jpg").touch()
    (photos / "gone.jpg").symlink_to("nowhere.jpg")
    (photos / "huge.jpg").write_bytes(bytes(101))
    told: list[str] = []

    found = read_inputs(["before", "photos"], tell=told.append)

    assert found[1:] == THREE
    (sentence,) = told
    assert sentence == (
        "left out of photos: z/notes.txt, photos/empty.jpg is empty, photos/gone.jpg is no file,"
        " photos/huge.jpg has 101 bytes and at most 100 are sent"
    )


def test_of_many_files_left_out_the_first_are_named_and_the_others_counted(photos: Path) -> None:
    for number in range(9):
        (photos / f"{number}.txt").touch()
    told: list[str] = []

    read_inputs(["photos"], tell=told.append)

    assert told == ["left out of photos: 0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 5 more"]


def test_what_is_left_out_is_said_on_stderr(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read_inputs(["photos"])

    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "tierline: left out of photos: z/notes.txt\n"


def test_a_folder_of_images_only_needs_no_words(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "z" / "notes.txt").unlink()

    read_inputs(["photos"])

    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("folder", ["photos/.thumbnails/none", "photos/texts", "photos/bad"])
def test_a_folder_without_an_image_is_refused(photos: Path, folder: str) -> None:
    Path(folder).mkdir(parents=True)
    if folder.endswith("texts"):
        (photos / "texts" / "a.txt").write_text("no image")
    if folder.endswith("bad"):
        (photos / "bad" / "empty.jpg").touch()

    with pytest.raises(UsageError, match=f"{folder} .*hold.* no image .*choose another folder"):
        read_inputs([folder])


@pytest.mark.parametrize(
    ("module", "limit", "most", "complaint"),
    [
        (folders, "MAX_IMAGES", 2, "photos holds more than 2 images; name fewer"),
        (folders, "MAX_FILES", 3, "photos holds more than 3 files; name the folder"),
        (inputs, "MAX_FOLDER_BYTES", 10, "photos holds more than the 10 bytes of images"),
    ],
)
def test_a_folder_beyond_what_is_sent_at_once_is_refused(
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    limit: str,
    most: int,
    complaint: str,
) -> None:
    monkeypatch.setattr(module, limit, most)

    with pytest.raises(UsageError, match=complaint):
        read_inputs(["photos"])


def test_a_folder_that_is_linked_to_itself_is_looked_into_once(photos: Path) -> None:
    (photos / "again").symlink_to(photos, target_is_directory=True)

    assert read_inputs(["photos"]) == THREE


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_refused_and_one_in_it_left_out(photos: Path) -> None:
    told: list[str] = []
    (photos / "z").chmod(0)
    try:
        assert read_inputs(["photos"], tell=told.append) == THREE[:2]
        with pytest.raises(UsageError, match="photos/z cannot be read: Permission denied"):
            read_inputs(["photos/z"])
    finally:
        (photos / "z").chmod(0o700)
    assert told == ["left out of photos: z"]


def test_a_name_that_no_terminal_can_show_is_shown_as_well_as_can_be(photos: Path) -> None:
    name = b"a\xff\x1b[31m\n.jpg".decode("utf-8", "surrogateescape")
    (photos / name).write_bytes(b"red")

    shown = {one.shown for one in read_inputs(["photos", str(photos / name)])}

    assert shown == {"a.png", "b.JPG", "z/c.webp", "a\ufffd\ufffd[31m\ufffd.jpg"}


def test_text_longer_than_a_path_may_be_is_text() -> None:
    assert len(read_inputs(["very " * 20_000])[0].data) == 100_000


def test_bytes_that_are_no_utf8_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"the input is not valid UTF-8 \(byte 3\)"):
        read_inputs([b"bad\xff word".decode("utf-8", "surrogateescape")])
    with pytest.raises(UsageError, match="line 2 of stdin is not valid UTF-8"):
        _read("-", stdin=b"good\n\xc3\x28", monkeypatch=monkeypatch)


def test_stdin_without_a_line_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="stdin held no line"):
        _read("-", stdin=b"\n", monkeypatch=monkeypatch)
