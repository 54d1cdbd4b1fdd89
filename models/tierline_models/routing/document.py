"""A cartography as a file beside a bundle's own: written as JSON, and not believed when it is read."""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.resources import files
from itertools import pairwise
from typing import Any

from tierline_models.card import PoolData, SettingData
from tierline_models.errors import BundleError
from tierline_models.graphs.files import Files
from tierline_models.routing.cartography import FEATURES, POOLS, Cartography, ExitChart, LegChart

NAME = "cartography.json"
FORMAT = 1
MOST_BYTES = 4 * 2**20
MOST_SETTINGS = 2048
MOST_EXITS = 64
MOST_LEGS = 1024


def cartography_to_json(found: Cartography) -> bytes:
    """For the file; the digest is not in it."""
    fields = {name: one for name, one in asdict(found).items() if name != "digest"}
    return (json.dumps({"format": FORMAT, **fields}, indent=1, allow_nan=False) + "\n").encode()


def cartography_from_json(content: bytes, exits: Sequence[int]) -> Cartography:
    """Read the file back.

    Args:
        content: of the file.
        exits: of the model, its own output last.

    Raises:
        BundleError: it is not what `cartography_to_json` writes, or of another model.
    """
    if len(content) > MOST_BYTES:
        raise BundleError(f"{NAME} has {len(content)} bytes, more than any bundle needs; make it again")
    try:
        document = json.loads(content)
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']!r:.20}")
        found = _cartography(document, hashlib.sha256(content).hexdigest()[:16])
        _check(found, exits)
    except (
        AttributeError,
        IndexError,
        KeyError,
        TypeError,
        ValueError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise BundleError(
            f"{NAME} is not what `tierline cartography fit` writes ({error!s:.120}); make it again"
        ) from error
    return found


def cartography_beside(found: Files, exits: Sequence[int]) -> Cartography | None:
    """What stands beside a bundle's own files; None where there is nothing."""
    if NAME not in found:
        return None
    return cartography_from_json(found.check(NAME, limit=MOST_BYTES).read_bytes(), exits)


def shipped_cartography(bundle: str, exits: Sequence[int]) -> Cartography | None:
    """What the catalogue's bundle comes with; None where it was not measured."""
    path = files("tierline_models").joinpath("data", f"{bundle}_{NAME}")
    return cartography_from_json(path.read_bytes(), exits) if path.is_file() else None


def _cartography(document: dict[str, Any], digest: str) -> Cartography:
    return Cartography(
        digest=digest,
        exits=_each(_exit, document["exits"], MOST_EXITS),
        pools=_by_pool(_share, document["pools"]),
        legs=_each(_leg, document["legs"], MOST_LEGS),
        caution=_share(document["caution"]),
        accuracy=_share(document["accuracy"]),
        settings=_each(_setting, document["settings"], MOST_SETTINGS),
        made={str(key)[:100]: str(value)[:1000] for key, value in list(document["made"].items())[:20]},
    )


def _exit(row: dict[str, Any]) -> ExitChart:
    temperature = _finite(row["temperature"])
    if not 1e-3 <= temperature <= 1e3:
        raise ValueError(f"{temperature!r:.40} is no temperature")
    return ExitChart(
        layer=_layer(row["layer"]),
        temperature=temperature,
        easy=_share(row["easy"]),
        medium=_share(row["medium"]),
        accuracy=_share(row["accuracy"]),
        confidence=_share(row["confidence"]),
        overclaim=_change(row["overclaim"]),
    )


def _leg(row: dict[str, Any]) -> LegChart:
    before = row["before"]
    return LegChart(
        before=None if before is None else _layer(before),
        here=_layer(row["here"]),
        end=_layer(row["end"]),
        weights=_each(_finite, row["weights"], len(FEATURES) + 1),
    )


def _setting(row: dict[str, Any]) -> SettingData:
    return SettingData(
        exits=_each(_layer, row["exits"], 3),
        thresholds=_each(_share, row["thresholds"], 2),
        shares=_each(_share, row["shares"], 3),
        accuracy=_share(row["accuracy"]),
        gains=_each(_change, row["gains"], 2),
        pools=_by_pool(_pool, row["pools"]),
    )


def _pool(row: dict[str, Any]) -> PoolData:
    return PoolData(shares=_each(_share, row["shares"], 3), accuracy=_share(row["accuracy"]))


def _check(found: Cartography, exits: Sequence[int]) -> None:
    """Refuse what does not fit together, or not the model."""
    if tuple(one.layer for one in found.exits) != tuple(exits):
        raise ValueError(f"it is of exits {[one.layer for one in found.exits]!s:.60}, not {list(exits)}")
    for leg in found.legs:
        _check_leg(leg, exits)
    if any(one.medium > one.easy for one in found.exits):
        raise ValueError("a medium sample is surer than an easy one")
    _check_sum(found.pools.values(), "the pools")
    for setting in found.settings:
        _check_setting(setting, exits)
    if not any(setting.exits == (exits[-1],) for setting in found.settings):
        raise ValueError("no setting has all samples leave at the last exit")


def _check_leg(leg: LegChart, exits: Sequence[int]) -> None:
    passed = [leg.here, leg.end] if leg.before is None else [leg.before, leg.here, leg.end]
    if not set(passed) <= set(exits) or any(a >= b for a, b in pairwise(passed)):
        raise ValueError(f"no sample passes {passed}")
    if len(leg.weights) != len(FEATURES) + 1:
        raise ValueError(f"{len(leg.weights)} weights for {len(FEATURES)} features and what is added")


def _check_setting(setting: SettingData, exits: Sequence[int]) -> None:
    chain = setting.exits
    if not chain or not set(chain) <= set(exits) or any(a >= b for a, b in pairwise(chain)):
        raise ValueError(f"no setting leaves at {list(chain)}")
    if not len(setting.gains) == len(setting.thresholds) == len(chain) - 1:
        raise ValueError(f"the setting over {list(chain)} has one gain and one threshold fewer than exits")
    for shares in (setting.shares, *(one.shares for one in setting.pools.values())):
        if len(shares) != len(chain):
            raise ValueError(f"the setting over {list(chain)} has one share an exit")
        _check_sum(shares, "shares")
    if set(setting.pools) != set(POOLS):
        raise ValueError("a setting lacks a pool")


def _check_sum(shares: Any, what: str) -> None:
    if abs(sum(shares) - 1) > 1e-3:
        raise ValueError(f"{what} do not sum to 1")


def _each(read: Callable[[Any], Any], rows: Any, most: int) -> tuple[Any, ...]:
    if not isinstance(rows, list) or len(rows) > most:
        raise ValueError(f"there is no list of at most {most} where one belongs")
    return tuple(map(read, rows))


def _by_pool(read: Callable[[Any], Any], rows: Any) -> dict[str, Any]:
    if not isinstance(rows, dict) or set(rows) != set(POOLS):
        raise ValueError("pools are easy, medium and hard")
    return {pool: read(rows[pool]) for pool in POOLS}


def _finite(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or abs(value) > 1e6:
        raise ValueError(f"{value!r:.40} is no number")
    return float(value)


def _share(value: Any) -> float:
    if not 0 <= (found := _finite(value)) <= 1:
        raise ValueError(f"{value!r:.40} is no share")
    return found


def _change(value: Any) -> float:
    if not -1 <= (found := _finite(value)) <= 1:
        raise ValueError(f"{value!r:.40} is no change of a share")
    return found


def _layer(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= 4096:
        raise ValueError(f"{value!r:.40} is no layer")
    return value
