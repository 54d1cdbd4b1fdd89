from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tierline_cartography import Part, RecordError, Records, load_records, save_records
from tierline_cartography.files import write_arrays
from tierline_cartography.training.gather import principal


def make_records(seed: int = 0) -> Records:
    source = np.random.default_rng(seed)
    seeds, epochs, exits, trained = 2, 3, 2, 9

    def part(count: int) -> Part:
        return Part(
            ids=source.integers(0, 2**48, count, dtype=np.uint64),
            labels=source.integers(0, 2, count),
            logits=source.normal(size=(seeds, exits, count, 2)).astype(np.float16).astype(np.float64),
            hidden=source.normal(size=(seeds, exits, count, 4)).astype(np.float16),
            rival=source.normal(size=(1, count, 2)).astype(np.float16),
        )

    return Records(
        task="tiny",
        classes=("no", "yes"),
        exits=(2, 4),
        seeds=(0, 1),
        train_labels=source.integers(0, 2, trained),
        train_true=source.random((seeds, epochs, exits, trained)).astype(np.float16),
        train_correct=source.random((seeds, epochs, exits, trained)) > 0.5,
        train_embedding=None,
        validation_true=source.random((seeds, epochs, exits, 7)).astype(np.float16),
        parts={"validation": part(7), "test": part(5)},
        document={"recipe": {"epochs": epochs}},
    )


def test_records_come_back_as_they_were(tmp_path):
    records = make_records()

    save_records(tmp_path / "tiny.npz", records)
    found = load_records(tmp_path / "tiny.npz")

    assert (found.task, found.classes, found.exits, found.seeds) == ("tiny", ("no", "yes"), (2, 4), (0, 1))
    assert found.document["recipe"] == {"epochs": 3}
    for name in ("train_labels", "train_correct"):
        np.testing.assert_array_equal(getattr(found, name), getattr(records, name))
    for name in ("train_true", "validation_true"):
        np.testing.assert_allclose(getattr(found, name), getattr(records, name), atol=0.5 / 255 + 1e-3)
    for name in ("ids", "labels", "logits", "hidden", "rival"):
        np.testing.assert_array_equal(getattr(found.test, name), getattr(records.test, name))
    assert found.test.embedding is None
    assert found.places((4,)) == [1]
    with pytest.raises(RecordError, match=r"have exits \[2, 4\], not \[6\]"):
        found.places((6,))


def test_records_whose_arrays_do_not_fit_together_are_refused(tmp_path):
    records = make_records()
    path = tmp_path / "tiny.npz"

    for damaged in (
        replace(records, exits=(2, 4, 6)),
        replace(records, parts={"validation": records.validation}),
        replace(records, parts={**records.parts, "test": replace(records.test, labels=np.full(5, 9))}),
        replace(records, parts={**records.parts, "test": replace(records.test, rival=np.zeros((3, 5, 2)))}),
    ):
        save_records(path, damaged)
        with pytest.raises(RecordError, match="do not fit together"):
            load_records(path)


def test_what_is_no_number_is_not_written_as_one(tmp_path):
    records = make_records()

    with pytest.raises(RecordError, match="not all numbers"):
        save_records(tmp_path / "tiny.npz", replace(records, train_true=records.train_true * np.nan))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"\x93NUMPY"])
def test_a_file_that_holds_no_records_is_refused(tmp_path, content):
    (tmp_path / "tiny.npz").write_bytes(content)

    with pytest.raises(RecordError, match="holds no records"):
        load_records(tmp_path / "tiny.npz")


def test_objects_are_never_unpickled(tmp_path):
    np.savez(tmp_path / "tiny.npz", document=np.array([{}], dtype=object))

    with pytest.raises(RecordError, match="holds no records"):
        load_records(tmp_path / "tiny.npz")


def test_what_is_missing_of_another_version_or_too_large_is_said(tmp_path, monkeypatch):
    path = tmp_path / "tiny.npz"
    with pytest.raises(RecordError, match="`tierline train` writes it"):
        load_records(path)
    write_arrays(path, {}, {"version": 99})
    with pytest.raises(RecordError, match="is of another version"):
        load_records(path)
    write_arrays(path, {}, {"task": "tiny"})
    with pytest.raises(RecordError, match="lacks what records have"):
        load_records(path)
    monkeypatch.setattr("tierline_cartography.files.MAX_BYTES", 10)
    with pytest.raises(RecordError, match="at most 10 are read"):
        load_records(path)


def test_a_full_disk_leaves_the_file_before_and_nothing_half_written(tmp_path, monkeypatch):
    path = tmp_path / "tiny.npz"
    save_records(path, make_records())
    before = path.read_bytes()

    def full(*_args: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(RecordError, match="No space left"):
        save_records(path, make_records(1))
    assert path.read_bytes() == before
    assert [one.name for one in Path(tmp_path).iterdir()] == ["tiny.npz"]


def test_principal_components_are_uncorrelated_and_keep_most_of_what_varies():
    source = np.random.default_rng(0)
    features = source.normal(size=(200, 2)) @ source.normal(size=(2, 10)) + 0.01 * source.normal(
        size=(200, 10)
    )

    found = principal(features, 3)

    spread = np.cov(found.T)
    assert spread[0, 0] >= spread[1, 1] >= spread[2, 2]
    assert abs(spread[0, 1]) < 1e-3
    assert np.trace(spread[:2, :2]) > 0.999 * features.var(0, ddof=1).sum()
    np.testing.assert_allclose(principal(features[:5], 3, fitted_on=features), found[:5], atol=1e-5)
