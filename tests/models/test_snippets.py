import os
from pathlib import Path

import pytest

from tierline_models import FetchError
from tierline_models.fetch import fetch
from tierline_models.snippets import (
    SNIPPETS,
    load_snippets,
    normalise,
    parse_snippets,
    read_hashes,
    split_of,
    split_snippets,
    text_hash,
)
from tierline_models.sst2_overlap import overlapping, read_sentences

ROWS = "\r\n".join(
    [
        "1\t2.5\tFine film.",
        "2\t-0.5\tNot for me.",
        "3\t0.0\tIt exists.",
        "4\t1.0\t''Fine'' film!",
        "5\t-3\tBad.",
    ]
)


def test_rows_become_snippets_but_for_those_without_a_sign_and_repeated_ones():
    snippets = parse_snippets(ROWS.encode())

    assert [one.text for one in snippets] == ["Fine film.", "Not for me.", "Bad."]
    assert [one.label for one in snippets] == ["positive", "negative", "negative"]


@pytest.mark.parametrize("content", [b"1\t2.5", b"1\tgood\tFine film.", b"\xff\xfe"])
def test_a_damaged_file_is_refused(content: bytes):
    with pytest.raises(FetchError, match="delete them"):
        parse_snippets(content)


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("It's a cliché...", "it 's a cliche ..."),
        ("(A) mess", "-lrb- a -rrb- mess"),
        ("''Conan''", "`` conan ''"),
    ],
)
def test_texts_that_differ_only_in_how_they_are_written_are_the_same(one: str, same: str):
    assert normalise(one) == normalise(same)


def test_the_split_of_a_text_is_fixed_by_its_hash():
    assert split_of("000000000000", frozenset()) == "test"
    assert split_of(f"{4:012x}", frozenset()) == "test"
    assert split_of(f"{5:012x}", frozenset()) == "validation"
    assert split_of(f"{16:012x}", frozenset()) == "validation"
    assert split_of(f"{17:012x}", frozenset()) == "train"
    assert split_of(f"{99:012x}", frozenset()) == "train"


def test_what_sst2_tests_on_is_never_trained_on():
    assert split_of(f"{99:012x}", frozenset([f"{99:012x}"])) == "test"


def test_the_published_snippets_are_dealt_out_as_documented():
    content = (fetch(SNIPPETS) / "movie_snippets.txt").read_bytes()
    snippets = parse_snippets(content)
    dealt = load_snippets()

    assert content.count(b"\r\n") + 1 == 10_605
    assert len(snippets) == 10_605 - 37 - 2
    assert {split: len(some) for split, some in dealt.items()} == {
        "train": 6667,
        "validation": 979,
        "test": 2920,
    }
    assert dealt == split_snippets(snippets, read_hashes())
    assert sum(one.label == "positive" for one in snippets) == 5_241


def test_the_committed_hashes_are_those_of_known_snippets():
    hashes = read_hashes()

    assert len(hashes) == 2_491
    assert hashes <= {text_hash(one.text) for one in load_snippets()["test"]}


def test_a_text_overlaps_when_it_is_or_holds_a_sentence():
    sentences = ["a fine and quiet film .", "bad ."]

    assert overlapping(["Bad.", "A bad one.", "Long. A fine and quiet film. End.", "Other."], sentences) == [
        "Bad.",
        "Long. A fine and quiet film. End.",
    ]


def test_sentences_are_read_from_the_column_of_that_name(tmp_path: Path):
    (tmp_path / "SST-2").mkdir()
    (tmp_path / "SST-2" / "dev.tsv").write_text("sentence\tlabel\nfine .\t1\n")
    (tmp_path / "SST-2" / "test.tsv").write_text("index\tsentence\n0\tbad .\n")

    assert read_sentences(tmp_path) == ["fine .", "bad ."]


def test_a_folder_without_glue_is_refused(tmp_path: Path):
    with pytest.raises(FetchError, match="name a folder that holds GLUE"):
        read_sentences(tmp_path)


@pytest.fixture
def glue_sentences() -> list[str]:
    folder = os.environ.get("TIERLINE_GLUE")
    if not folder or not Path(folder, "SST-2").is_dir():
        pytest.skip(
            "TIERLINE_GLUE names no folder that holds GLUE's SST-2, which has no licence to be shipped"
        )
    return read_sentences(Path(folder))


def test_the_committed_hashes_are_what_the_command_makes(glue_sentences: list[str]):
    texts = [one.text for some in load_snippets().values() for one in some]

    found = overlapping(texts, glue_sentences)

    assert {text_hash(text) for text in found} == read_hashes()


def test_no_sentence_of_sst2_dev_or_test_is_trained_or_tuned_on(glue_sentences: list[str]):
    dealt = load_snippets()
    seen = {normalise(one.text) for split in ("train", "validation") for one in dealt[split]}
    tested = {normalise(one.text) for one in dealt["test"]}
    sentences = {normalise(sentence) for sentence in glue_sentences}

    assert not sentences & seen
    assert len(sentences & tested) >= 2_120
