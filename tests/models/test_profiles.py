import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.models.zoo import decoder, encoder_decoder, resnet50
from tierline_models import (
    Bundle,
    BundleError,
    BundleProfile,
    CodecFigure,
    DeviceProfile,
    SizeProfile,
    Subject,
    TokenHead,
    attach,
    block_costs,
    device_class,
    load,
    load_bundle,
    measure_device,
    profile_at_start,
    profile_of,
    read_profile,
    scale,
    shipped_profile,
    sizes_to_measure,
    split,
    subject_of,
)
from tierline_models.profiles.memory import LiveBytes
from tierline_models.profiles.records import MOST_PASSES, parse_profile

DIGEST = "a" * 64


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)


def size(*rows: tuple[float, ...], length: int = 12) -> SizeProfile:
    blocks = len(rows[0])
    return SizeProfile(
        inputs={"ids": (1, length)},
        flops=(10,) * blocks,
        bytes=(20,) * blocks,
        memory_bytes=(30,) * blocks,
        seconds=rows,
    )


def device(*sizes: SizeProfile, **codecs: Any) -> DeviceProfile:
    return DeviceProfile(torch="2.13.0", sizes=sizes, codecs=codecs)


def bundle(**devices: DeviceProfile) -> BundleProfile:
    return BundleProfile(bundle=DIGEST, devices=devices)


def test_quantiles_are_over_all_passes() -> None:
    rows = [(float(number), 100.0 - number) for number in range(1, 101)]
    found = size(*rows)

    assert found.quantile(0.5) == (50.5, 49.5)
    assert found.quantile(0.95) == (95.0, 94.0)
    assert found.whole(0.95) == 100.0


def test_profiles_of_two_classes_are_both_kept() -> None:
    merged = bundle(pi=device(size((1.0, 2.0)))).merged(bundle(epyc=device(size((0.1, 0.2)))))

    assert {name: one.sizes[0].seconds for name, one in merged.devices.items()} == {
        "pi": ((1.0, 2.0),),
        "epyc": ((0.1, 0.2),),
    }


def test_profiles_of_one_class_pool_their_runs_size_by_size() -> None:
    one = bundle(pi=device(size((1.0, 2.0)), size((5.0, 6.0), length=24)))
    merged = one.merged(bundle(pi=device(size((3.0, 4.0)))))

    assert [found.seconds for found in merged.devices["pi"].sizes] == [
        ((1.0, 2.0), (3.0, 4.0)),
        ((5.0, 6.0),),
    ]


def test_of_many_runs_the_latest_are_kept() -> None:
    first = device(size(*[(1.0,)] * MOST_PASSES))
    merged = first.merged(device(size((2.0,), (3.0,))))

    assert len(merged.sizes[0].seconds) == MOST_PASSES
    assert merged.sizes[0].seconds[-3:] == ((1.0,), (2.0,), (3.0,))


def test_a_profile_of_other_blocks_is_replaced_not_pooled() -> None:
    assert device(size((1.0, 2.0))).merged(device(size((3.0,)))) == device(size((3.0,)))


def test_a_profile_reads_back_as_it_was_written(tmp_path: Path) -> None:
    figure = CodecFigure(bytes=7, error=0.01, encode_seconds=1e-5, decode_seconds=2e-5)
    written = bundle(pi=device(size((1.0, 2.0)), **{"int8-lz4": (figure,)}))
    path = tmp_path / "profile.json"
    path.write_text(written.model_dump_json())

    assert read_profile(path, DIGEST) == written
    assert read_profile(tmp_path / "none.json", DIGEST) is None


def _set(*path: Any, value: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        document[path[-1]] = value

    return change


_SIZE = ("devices", "pi", "sizes", 0)
HOSTILE: dict[str, Callable[[Any], None]] = {
    "another format": _set("format", value=2),
    "another bundle": _set("bundle", value="b" * 64),
    "no digest": _set("bundle", value="../../etc/passwd"),
    "no devices": lambda document: document.pop("devices"),
    "too many devices": lambda document: document.update(
        devices={str(number): document["devices"]["pi"] for number in range(65)}
    ),
    "time that is no number": _set(*_SIZE, "seconds", 0, 0, value=math.nan),
    "time without end": _set(*_SIZE, "seconds", 0, 0, value=math.inf),
    "time before it began": _set(*_SIZE, "seconds", 0, 0, value=-1.0),
    "a row too short": _set(*_SIZE, "seconds", 0, value=[1.0]),
    "no rows": _set(*_SIZE, "seconds", value=[]),
    "more rows than are kept": _set(*_SIZE, "seconds", value=[[1.0, 2.0]] * (MOST_PASSES + 1)),
    "bytes of too few blocks": _set(*_SIZE, "bytes", value=[1]),
    "bytes below nothing": _set(*_SIZE, "bytes", value=[1, -1]),
    "an exit after the end": _set(*_SIZE, "exit_seconds", value={"3": [1.0]}),
    "a shape of too many dimensions": _set(*_SIZE, "inputs", value={"ids": [1] * 17}),
    "codecs of other points": _set("devices", "pi", "codecs", value={"raw": []}),
    "a list for a device": _set("devices", "pi", value=[1]),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_forged_profile_is_refused_in_a_sentence(what: str, tmp_path: Path) -> None:
    document = json.loads(bundle(pi=device(size((1.0, 2.0)))).model_dump_json())
    HOSTILE[what](document)
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(document))

    with pytest.raises(BundleError, match="profile the bundle again") as caught:
        read_profile(path, DIGEST)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 100_000, b"null"])
def test_what_is_no_document_is_refused(content: bytes) -> None:
    with pytest.raises(BundleError, match="profile the bundle again"):
        parse_profile(content, DIGEST, "profile.json")


def test_a_link_and_a_file_of_any_size_are_refused(tmp_path: Path) -> None:
    (tmp_path / "large").touch()
    with (tmp_path / "large").open("r+b") as file:
        file.truncate(2**30)
    (tmp_path / "link").symlink_to(tmp_path / "large")

    with pytest.raises(BundleError, match="not a regular file"):
        read_profile(tmp_path / "link", DIGEST)
    with pytest.raises(BundleError, match="larger than any profile"):
        read_profile(tmp_path / "large", DIGEST)


def test_a_bundle_keeps_its_profile_beside_and_its_digest(tmp_path: Path) -> None:
    digest = split(*decoder()).save(tmp_path / "made")
    assert profile_of(load(tmp_path / "made")) is None
    written = BundleProfile(bundle=digest, devices={"pi": device(size((1.0,)))})
    attach(tmp_path / "made", {"profile.json": written.model_dump_json().encode()})

    assert profile_of(load(tmp_path / "made")) == written
    assert load(tmp_path / "made").digest == digest
    (tmp_path / "made/profile.json").write_text(written.model_dump_json().replace("1.0", "9.0"))
    with pytest.raises(BundleError, match="sha256 differs"):
        profile_of(load(tmp_path / "made"))


def test_what_is_alive_is_counted_until_nobody_holds_it() -> None:
    layer, x = nn.Linear(256, 256), torch.randn(64, 256)
    one = x.nbytes
    with torch.no_grad(), LiveBytes() as live:
        live.overlook(layer.parameters())
        live.hold(x)
        y = layer(x)
        assert (live.now, live.most) == (2 * one, 2 * one)
        seen = y.view(-1)
        z = torch.relu(y)
        assert live.now == 3 * one
        del y
        assert live.now == 3 * one  # a view still holds it
        del seen, z
        live.begin()
        assert (live.now, live.most) == (one, one)


def test_the_memory_of_a_chain_is_that_of_two_neighbours() -> None:
    model = nn.Sequential(*[nn.Linear(256, 256) for _ in range(4)]).eval()
    cut = split(model, torch.randn(8, 256))

    assert [one.memory_bytes for one in block_costs(subject_of(cut))] == [2 * 8 * 256 * 4] + [
        3 * 8 * 256 * 4
    ] * 3  # what goes in stays the caller's


def test_costs_are_those_of_the_split_points() -> None:
    cut = split(*resnet50())
    costs = block_costs(subject_of(cut))

    assert [one.bytes for one in costs[:-1]] == [point.bytes for point in cut.points]
    assert sum(one.flops for one in costs[:5]) == cut.points[4].flops_before
    assert sum(one.flops for one in costs[5:]) == cut.points[4].flops_after


def test_inputs_are_repeated_or_cut_in_proportion() -> None:
    subject = subject_of(split(*encoder_decoder()))

    shapes = [tuple(one.shape) for one in subject.sized(4, 18).values()]
    assert (subject.length, subject.batches) == (9, True)
    assert shapes == [(4, 18), (4, 12), (4, 18)]
    assert [tuple(one.shape) for one in subject.sized(None, 3).values()] == [(1, 3), (1, 2), (1, 3)]


def test_sizes_begin_with_the_examples_own_and_repeat_none() -> None:
    subject = subject_of(split(*decoder()))

    def shapes(**asked: Any) -> list[tuple[int, ...]]:
        return [tuple(one["ids"].shape) for one in sizes_to_measure(subject, **asked)]

    assert shapes() == [(1, 12), *[(b, t) for b in (1, 4, 16) for t in (6, 12, 24) if (b, t) != (1, 12)]]
    assert shapes(batches=[2], lengths=[12, 3]) == [(1, 12), (2, 12), (2, 3)]


def test_each_size_and_exit_and_codec_is_measured_and_a_size_refused_is_left_out() -> None:
    cut = split(*decoder())
    cut.add_exit(3, TokenHead(32, labels=2))
    subject = subject_of(cut)
    sizes = sizes_to_measure(subject, batches=[1, 2], lengths=[12, 65])  # there are 64 positions
    told: list[int] = []

    def code(parts: Any) -> dict[str, CodecFigure]:
        size_ = sum(one.nbytes for one in parts)
        return {"half": CodecFigure(bytes=size_ // 2, error=0.5, encode_seconds=0, decode_seconds=0)}

    found = measure_device(subject, sizes, code=code, runs=4, done=lambda: told.append(1))

    assert [dict(one.inputs)["ids"] for one in found.sizes] == [(1, 12), (2, 12)]
    assert all(len(one.seconds) == 4 for one in found.sizes)
    assert all(seconds > 0 for one in found.sizes for row in one.seconds for seconds in row)
    assert list(found.sizes[0].exit_seconds) == [4]
    assert [one.bytes for one in found.codecs["half"]] == [point.bytes // 2 for point in cut.points]
    assert len(told) == len(sizes) + len(cut.points)


class Machine:
    """A machine whose blocks take exactly so long, on a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *seconds: float) -> None:
        self.now = 0.0
        self.passes = 0
        monkeypatch.setattr("time.perf_counter", lambda: self.now)
        self.subject = Subject(
            digest=DIGEST,
            blocks=[self._block(place, one) for place, one in enumerate(seconds)],
            exits={},
            inputs={"ids": torch.zeros(1, 12)},
            varies={},
            weights=[[] for _ in seconds],
            exit_weights=[],
        )

    def _block(self, place: int, seconds: float) -> Callable[[Any], Any]:
        def run(given: Any) -> Any:
            self.passes += place == 0
            warm = 1.0 if self.passes > 1 else 5.0  # the first pass is slow
            self.now += warm * seconds
            return given

        return run


def test_a_profile_is_stretched_to_what_the_machine_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 0.03, 0.01)
    scaled = scale(device(size((9.0, 9.0), length=7), size((0.01, 0.01))), machine.subject)

    assert scaled.factor == pytest.approx(2.0)
    assert scaled.block_seconds == pytest.approx((0.02, 0.02))
    assert scaled.seconds <= 1.0
    assert scaled.passes == machine.passes - 1 > 15


def test_a_slow_machine_is_judged_by_the_blocks_that_it_reaches(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, *[0.2] * 10)  # a second each, the first time
    scaled = scale(device(size((0.1,) * 10)), machine.subject)

    assert scaled.seconds == pytest.approx(3.0)
    assert scaled.factor == pytest.approx(10.0)
    assert scaled.passes == 1


def test_a_node_with_few_blocks_is_scaled_by_those(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 0.04)
    scaled = scale(device(size((0.01, 0.5))), machine.subject)

    assert scaled.block_seconds == pytest.approx((0.04,))


def test_what_ships_is_of_the_bundles_as_they_are(text_bundle: Bundle) -> None:
    shipped = shipped_profile("text", text_bundle.digest)

    assert shipped is not None
    assert all(one.blocks == 6 for one in shipped.devices.values())
    assert {2, 4, 6} == set(next(iter(shipped.devices.values())).sizes[0].exit_seconds)
    assert shipped_profile("text", DIGEST) is None
    assert shipped_profile("nothing", DIGEST) is None


def test_a_node_scales_what_shipped_for_its_class_and_measures_otherwise(text_bundle: Bundle) -> None:
    known = text_bundle.profile
    assert known is not None
    here = next(iter(known.devices.values()))
    mine = BundleProfile(bundle=text_bundle.digest, devices={device_class(): here})
    others = BundleProfile(bundle=text_bundle.digest, devices={"a Raspberry Pi": here})

    scaled = profile_at_start(_with(text_bundle, mine))
    measured = profile_at_start(_with(text_bundle, others))

    assert scaled.scaled_by is not None
    assert scaled.block_seconds == pytest.approx(
        [scaled.scaled_by * one for one in here.sizes[0].quantile(0.5)]
    )
    assert scaled.exit_seconds > 0
    assert measured.scaled_by is None


def test_a_node_scales_what_stands_beside_a_bundle_of_ones_own(tmp_path: Path) -> None:
    cut = split(*resnet50())
    digest = cut.save(tmp_path / "made")
    subject = subject_of(load(tmp_path / "made"))
    measured = measure_device(subject, [subject.sized(2, None), subject.inputs], runs=3)
    profile = BundleProfile(bundle=digest, devices={device_class(): measured})
    attach(tmp_path / "made", {"profile.json": profile.model_dump_json().encode()})

    found = profile_at_start(load_bundle(tmp_path / "made"))

    assert found.scaled_by is not None
    assert found.block_seconds == pytest.approx(
        [found.scaled_by * one for one in measured.sizes[1].quantile(0.5)]
    )


def _with(one: Bundle, profile: BundleProfile) -> Bundle:
    return replace(one, profile=profile)
