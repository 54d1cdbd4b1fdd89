import json
from itertools import combinations_with_replacement

import numpy as np
import pytest
import torch

from tierline_broker.cards import ModelCard
from tierline_models import Bundle, BundleError, InputError, load_bundle
from tierline_models.pieces import LONGEST, read_text
from tierline_models.text import (
    Manifest,
    build_model,
    load_input,
    sample_snippets,
    text_digest,
)

TEXTS = [
    "Eh.",
    "A gorgeous, witty, seductive movie.",
    "The plot is thin, the jokes are thinner, and the whole affair wears out its welcome before the end. "
    * 2,
    "naïve café 電影 \U0001f600 " * 12,
    "and so it goes, " * 400,
]
CUTS = list(combinations_with_replacement(range(7), 2))


def over_the_wire(x: torch.Tensor) -> torch.Tensor:
    """What codec `raw` does to an activation: the same bits elsewhere in memory."""
    return torch.from_numpy(np.frombuffer(bytearray(x.numpy().tobytes()), dtype=np.float32).reshape(x.shape))


@pytest.mark.parametrize("text", TEXTS, ids=["3", "35", "210", "accents", "cut"])
def test_split_at_every_pair_of_layers_the_logits_are_bit_for_bit_those_of_the_unsplit_model(
    text_bundle: Bundle, text: str
):
    model = text_bundle.model
    ids = model.preprocess(text.encode())
    whole = model.unsplit(ids)

    for i, j in CUTS:
        x = model.run(ids, 0, i)
        x = model.run(over_the_wire(x) if i else x, i, j)
        x = model.run(over_the_wire(x) if j else x, j, 6)
        assert torch.equal(model.logits(6, x), whole), (i, j)


def test_stopping_at_an_exit_on_the_way_changes_nothing(text_bundle: Bundle):
    model = text_bundle.model
    ids = model.preprocess(text_bundle.example)

    x, answer = model.run_with_exit(ids, 0, 5)

    assert answer is not None
    assert answer.layer == 4
    assert torch.equal(x, model.run(ids, 0, 5))
    assert answer == model.exit(4, model.run(ids, 0, 4))


def test_one_tensor_of_known_size_is_all_that_travels(text_bundle: Bundle):
    model = text_bundle.model
    for text in TEXTS:
        ids = model.preprocess(text.encode())
        for layer in range(1, 7):
            x = model.run(ids, 0, layer)
            assert x.shape == (1, ids.shape[1], 384)
            model.check_activation(layer, x.shape, str(x.dtype))


def test_a_text_beyond_the_window_is_cut(text_bundle: Bundle):
    ids = text_bundle.model.preprocess(b"word " * 1000)

    assert ids.shape == (1, 128)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b" \n\t ", "empty"),
        (b"\x00\x01", "nothing to read"),
        (b"caf\xe9 noir", "not valid UTF-8 .byte 3"),
        (b"a" * 100_000, "100000 bytes"),
        (b"ab " * 7_000, "21000 characters"),
        ("é".encode() * (LONGEST + 1), "20001 characters"),
    ],
)
def test_an_input_that_cannot_be_answered_is_refused_in_a_sentence(
    text_bundle: Bundle, data: bytes, says: str
):
    with pytest.raises(InputError, match=says) as caught:
        text_bundle.model.preprocess(data)

    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_text_of_just_the_greatest_length_is_read():
    assert read_text("é".encode() * LONGEST) == "é" * LONGEST


def test_plain_praise_and_plain_blame_are_told_apart_at_every_exit(text_bundle: Bundle):
    model = text_bundle.model
    for data, label in ((b"A wonderful, moving film.", "positive"), (b"A dull, lifeless mess.", "negative")):
        ids = model.preprocess(data)
        answers = [model.exit(layer, model.run(ids, 0, layer)) for layer in (2, 4, 6)]
        assert [answer.label for answer in answers] == [label] * 3
        assert all(0.5 < answer.confidence <= 1.0 for answer in answers)


def test_the_card_is_what_the_wire_calls_a_model_card(text_bundle: Bundle):
    card = ModelCard.model_validate_json(text_bundle.card.to_json())

    assert card.model_dump(mode="json") == json.loads(text_bundle.card.to_json())
    assert card.digest == text_bundle.digest
    assert card.exits == (2, 4, 6)
    assert [point.layer for point in card.points] == [1, 2, 3, 4, 5]


def test_the_routes_hold_together(text_bundle: Bundle):
    card = text_bundle.card

    assert 7 <= len(card.routes) <= 400
    assert {row.exits for row in card.routes} == {(2,), (4,), (6,), (2, 4), (2, 6), (4, 6), (2, 4, 6)}
    for row in card.routes:
        assert len(row.thresholds) == len(row.exits) - 1 == len(row.shares) - 1
        assert list(row.thresholds) == sorted(row.thresholds, reverse=True)
        assert sum(row.shares) == pytest.approx(1.0)
    (whole,) = [row for row in card.routes if row.exits == (6,)]
    assert whole.accuracy == card.accuracy


def test_the_example_is_of_typical_size(text_bundle: Bundle):
    pieces = text_bundle.model.preprocess(text_bundle.example).shape[1]
    raw = text_bundle.card.points[0].frame_bytes["raw"]

    assert pieces * 384 * 4 == pytest.approx(raw, rel=0.15)
    assert len(text_bundle.example) == pytest.approx(text_bundle.card.input_bytes, rel=0.15)


def test_samples_come_in_an_order_that_the_seed_fixes(text_bundle: Bundle):
    once, again, other = (text_bundle.samples("test", seed) for seed in (1, 1, 2))

    assert once == again
    assert once != other
    assert sorted(one.data for one in once) == sorted(one.data for one in other)
    assert {one.label for one in once} == set(text_bundle.model.labels)


def test_an_unknown_split_is_refused():
    with pytest.raises(BundleError, match="train, validation or test"):
        sample_snippets("dev", 0)


def test_a_limited_node_runs_its_own_blocks_under_the_same_name(text_bundle: Bundle):
    limited = load_bundle("text", max_layer=3)
    ids = limited.model.preprocess(b"fine")

    assert limited.digest == text_bundle.digest
    assert len(limited.model.blocks) == 3
    assert list(limited.model.exits) == [2]
    assert torch.equal(limited.model.run(ids, 0, 3), text_bundle.model.run(ids, 0, 3))


def test_the_digest_names_the_adapter_and_the_calibration():
    digests = {text_digest(b"a", "m"), text_digest(b"b", "m"), text_digest(b"a", "n")}

    assert len(digests) == 3
    assert text_digest(b"a", "m") == text_digest(b"a", "m")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"temperatures": {"x": 1}}', '{"temperatures": 3}'])
def test_a_damaged_manifest_is_refused(text: str):
    with pytest.raises(BundleError, match="reinstall"):
        Manifest.from_json(text)


def test_a_damaged_adapter_is_refused(text_bundle: Bundle):
    from tierline_models.fetch import fetch
    from tierline_models.text import MINILM

    with pytest.raises(BundleError, match="does not fit MiniLM-L6"):
        build_model(fetch(MINILM), b"short", {2: 1.0, 4: 1.0, 6: 1.0})


def test_a_damaged_encoder_is_refused(tmp_path):
    from tierline_models.minilm import load_encoder

    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 64)
    with pytest.raises(BundleError, match="delete it to have it fetched again"):
        load_encoder(tmp_path / "model.safetensors")


def test_a_missing_tokenizer_is_refused(tmp_path):
    with pytest.raises(BundleError, match="cannot be read"):
        load_input(tmp_path / "tokenizer.json")
