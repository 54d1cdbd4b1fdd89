from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tierline_models import (
    FetchError,
    InputError,
    Sample,
    SegmentedModel,
    label_by_model,
    photographs,
    pictures,
)
from tierline_models.crops import CROPS, crops
from tierline_models.fetch import Member, Package
from tierline_models.pictures import SHIPPED, shipped_photographs
from tierline_models.segmented import Exit
from tierline_models.served import alone


def write(folder: Path, *names: str) -> None:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode())


def test_a_file_is_taken_as_it_is(tmp_path: Path):
    write(tmp_path, "holiday.anything")

    assert photographs(tmp_path / "holiday.anything") == [Sample(data=b"holiday.anything", label=None)]


def test_a_folder_gives_its_image_files_in_order_and_nothing_else(tmp_path: Path):
    write(tmp_path, "b.JPG", "a.png", "notes.txt", "below/c.webp", "below/d.jpeg", "e.gif")
    (tmp_path / "z.png").mkdir()

    assert [sample.data for sample in photographs(str(tmp_path))] == [
        b"a.png",
        b"b.JPG",
        b"below/c.webp",
        b"below/d.jpeg",
    ]


def test_a_folder_without_images_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"hold no file called \*\.jpg"):
        photographs(tmp_path)


def test_a_path_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"nowhere\.png cannot be read: No such file"):
        photographs(tmp_path / "nowhere.png")


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path):
    with (tmp_path / "film.jpg").open("wb") as file:
        file.truncate(2**40)

    with pytest.raises(InputError, match=r"film\.jpg has 1099511627776 bytes"):
        photographs(tmp_path)


def test_fifteen_photographs_are_shipped_with_two_packages():
    files = shipped_photographs()

    assert len(files) == sum(len(package.members) for package in SHIPPED) == 15
    assert {"china.jpg", "flower.jpg", "chelsea.png"} < set(files)


@pytest.fixture
def boxed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package `picturebox` that ships one picture; its wheel cannot be fetched."""
    member = Member(
        path=("picturebox/data/dot.png",),
        name="dot.png",
        size=3,
        sha256="ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",  # of b"abc"
    )
    package = Package(name="picturebox", version="1", sha256="", size=0, wheel=True, members=(member,))

    def unreachable(package: Package) -> Path:
        raise FetchError(f"no {package.name} today")

    monkeypatch.setattr(pictures, "SHIPPED", (package,))
    monkeypatch.setattr(pictures, "fetch", unreachable)
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path, "picturebox/__init__.py", "picturebox/data/dot.png")
    return tmp_path / "picturebox" / "data" / "dot.png"


def test_an_installed_package_is_read_where_it_is(boxed: Path):
    boxed.write_bytes(b"abc")

    assert shipped_photographs() == {"dot.png": b"abc"}


def test_another_picture_of_the_same_name_does_not_pass_for_ours(boxed: Path):
    boxed.write_bytes(b"abd")

    with pytest.raises(FetchError, match="no picturebox today"):
        shipped_photographs()


def test_crops_are_distinct_and_the_same_every_time():
    files = dict(list(shipped_photographs().items())[:2])
    samples = list(crops(files, "test"))

    assert samples == list(crops(files, "test"))
    assert len(samples) == len(set(samples)) == 2 * CROPS


def test_splits_share_whole_photographs_and_no_crops():
    files = dict(list(shipped_photographs().items())[:1])

    test, validation = (list(crops(files, split, count=4)) for split in ("test", "validation"))

    assert test[0] == validation[0]
    assert not set(test[1:]) & set(validation[1:])


class Counting(nn.Module):
    """Passes what it gets, and counts."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x


@pytest.fixture
def counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[SegmentedModel, Counting]:
    """A model that says whether an input is longer than five bytes, with a cache of its own."""
    monkeypatch.setenv("TIERLINE_CACHE", str(tmp_path))
    block = Counting()
    model = SegmentedModel(
        blocks=[block],
        exits={1: Exit(head=nn.Identity())},
        labels=("short", "long"),
        travelling=[alone((1, 2))],
        preprocess=lambda data: torch.tensor([[5.0, float(len(data))]]),
    )
    return model, block


def test_inputs_get_the_unsplit_models_answer_for_a_label(counting: tuple[SegmentedModel, Counting]):
    samples = label_by_model(counting[0], "digest", [b"abc", b"abcdefgh"])

    assert samples == [Sample(data=b"abc", label="short"), Sample(data=b"abcdefgh", label="long")]


def test_an_answer_is_computed_once(counting: tuple[SegmentedModel, Counting]):
    model, block = counting

    assert label_by_model(model, "digest", [b"abc"]) == label_by_model(model, "digest", [b"abc"])
    assert block.calls == 1


@pytest.mark.parametrize(
    ("digest", "data"), [("other", [b"abc"]), ("digest", [b"abd"]), ("digest", [b"abc"] * 2)]
)
def test_answers_to_other_inputs_or_of_other_models_are_not_taken(
    counting: tuple[SegmentedModel, Counting], digest: str, data: list[bytes]
):
    model, block = counting
    label_by_model(model, "digest", [b"abc"])

    label_by_model(model, digest, data)

    assert block.calls == 1 + len(data)


@pytest.mark.parametrize("content", ["", "{}", "[]", "[1]"])
def test_a_damaged_cache_is_written_anew(
    counting: tuple[SegmentedModel, Counting], tmp_path: Path, content: str
):
    model, _ = counting
    samples = label_by_model(model, "digest", [b"abc"])
    (cached,) = tmp_path.rglob("*.json")
    cached.write_text(content)

    assert label_by_model(model, "digest", [b"abc"]) == samples
    assert cached.read_text() == '["short"]'


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(
    counting: tuple[SegmentedModel, Counting], tmp_path: Path
):
    (tmp_path / "agreement").write_text("a file where a folder should be")

    assert [sample.label for sample in label_by_model(counting[0], "digest", [b"abc"])] == ["short"]
