"""A bundle's cartography: what it says of a sample at an exit, and that a hostile file says nothing."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from tierline_models import (
    BundleError,
    Cartography,
    ExitChart,
    LegChart,
    PoolData,
    SettingData,
    Spoken,
    cartography_from_json,
    cartography_to_json,
    gain_features,
    judge,
    load_bundle,
)
from tierline_models.routing.cartography import with_cartography

EXITS = (2, 6)
POOLS = ("easy", "medium", "hard")


def exit_chart(layer: int) -> ExitChart:
    return ExitChart(layer=layer, temperature=2.0, easy=0.9, medium=0.7, accuracy=0.8, confidence=0.8)


def setting(exits: tuple[int, ...], *gains: float) -> SettingData:
    shares = (0.75, 0.25) if gains else (1.0,)
    pools = {pool: PoolData(shares=shares, accuracy=0.8) for pool in POOLS}
    thresholds = tuple(0.7 for _ in gains)
    return SettingData(
        exits=exits, thresholds=thresholds, shares=shares, accuracy=0.8, gains=gains, pools=pools
    )


FOUND = Cartography(
    digest="",
    exits=(exit_chart(2), exit_chart(6)),
    pools={"easy": 0.5, "medium": 0.3, "hard": 0.2},
    legs=(LegChart(before=None, here=2, end=6, weights=(0.5, 0.0, 0.0, 0.0, -0.05)),),
    caution=0.01,
    accuracy=0.85,
    settings=(setting((6,)), setting(EXITS, 0.05)),
    made={"command": "by hand"},
)


def test_it_comes_back_as_it_was_but_for_its_digest() -> None:
    content = cartography_to_json(FOUND)
    found = cartography_from_json(content, EXITS)

    assert found.digest
    assert cartography_to_json(found) == content
    assert found.settings == FOUND.settings
    assert cartography_from_json(content + b"\n", EXITS).digest != found.digest


def test_an_exit_is_judged_by_its_calibrated_confidence() -> None:
    sure = judge(FOUND, Spoken(layer=2, logits=(0.0, 10.0)), None, 6)
    torn = judge(FOUND, Spoken(layer=2, logits=(0.0, 0.0)), None, 6)

    assert sure is not None
    assert torn is not None
    assert sure.confidence == pytest.approx(1 / (1 + math.exp(-5)))  # of temperature 2
    assert (sure.pool, torn.pool) == ("easy", "hard")
    assert torn.gain == pytest.approx(0.5 * 0.5 - 0.05)
    assert sure.gain < 0 < torn.gain


def test_at_the_end_nothing_is_gained_and_the_exit_before_is_checked() -> None:
    before = Spoken(layer=2, logits=(0.0, 2.0))
    found = judge(FOUND, Spoken(layer=6, logits=(2.0, 0.0)), before, 6)

    assert found is not None
    assert found.gain == 0
    assert found.claimed == pytest.approx(1 / (1 + math.exp(-1)))
    assert found.granted == pytest.approx(1 - 1 / (1 + math.exp(-1)))


def test_what_is_unknown_is_not_judged() -> None:
    assert judge(FOUND, Spoken(layer=3, logits=(0.0, 1.0)), None, 6) is None
    found = judge(FOUND, Spoken(layer=6, logits=(0.0, 1.0)), Spoken(layer=2, logits=(1.0,)), 6)
    assert found is not None
    assert found.claimed is None


def test_where_nothing_is_doubted_nothing_but_the_constant_is_gained() -> None:
    assert gain_features(0.0, None) == gain_features(0.0, 0.0) == (0.0, 0.0, 0.0, 0.0)


def test_a_card_gets_the_settings_as_its_routes() -> None:
    card = load_bundle("text").card
    found = with_cartography(card, FOUND)

    assert (found.routes, found.pools, found.accuracy) == (FOUND.settings, FOUND.pools, 0.85)
    assert [one.layer for one in found.exit_cards] == [2, 6]
    assert found.digest == card.digest
    assert with_cartography(card, None) is card


def test_the_text_bundle_comes_with_one() -> None:
    bundle = load_bundle("text")

    assert bundle.cartography is not None
    assert bundle.card.router == bundle.cartography.digest
    assert {one.exits for one in bundle.cartography.settings} >= {(2,), (6,), (2, 6), (2, 4, 6)}


def put(*path: Any, value: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        for part in path[:-1]:
            document = document[part]
        document[path[-1]] = value

    return change


HOSTILE = {
    "another format": put("format", value=9),
    "exits of another model": put("exits", 0, "layer", value=3),
    "an exit too many": lambda document: document["exits"].append(document["exits"][0]),
    "no number": put("caution", value=float("nan")),
    "beyond all bounds": put("legs", 0, "weights", 0, value=1e300),
    "infinite": put("accuracy", value=float("inf")),
    "a huge whole number": put("caution", value=10**400),
    "true is no share": put("accuracy", value=True),
    "a weight too many": lambda document: document["legs"][0]["weights"].append(0.0),
    "a weight too few": lambda document: document["legs"][0]["weights"].pop(),
    "a leg that goes back": put("legs", 0, "here", value=6),
    "a cold temperature": put("exits", 0, "temperature", value=0),
    "bands the wrong way round": put("exits", 0, "medium", value=0.95),
    "pools that are not all": put("pools", value={"easy": 1.0, "medium": 0.0, "hard": 0.5}),
    "a pool of another name": put("pools", value={"easy": 1.0}),
    "shares of another length": put("settings", 1, "shares", value=[1.0]),
    "gains of another length": put("settings", 1, "gains", value=[0.1, 0.2]),
    "no way to the end": lambda document: document["settings"].pop(0),
    "a million settings": lambda document: document["settings"].extend([document["settings"][0]] * 5000),
    "a list for an object": put("made", value=[]),
    "nothing": lambda document: document.clear(),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_with_one_sentence(change: Callable[[Any], None]) -> None:
    document = json.loads(cartography_to_json(FOUND))
    change(document)

    with pytest.raises(BundleError, match=r"cartography.json .*make it again") as error:
        cartography_from_json(json.dumps(document).encode(), EXITS)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"[" * 100_000, b" " * 5_000_000])
def test_what_is_no_document_is_refused(content: bytes) -> None:
    with pytest.raises(BundleError, match="make it again"):
        cartography_from_json(content, EXITS)
