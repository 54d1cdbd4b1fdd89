import json
import os
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import tierline
from tests.models.bundles import forge, reseal
from tests.models.heads import with_an_exit
from tests.models.zoo import ZOO, decoder, encoder_decoder, resnet50, unet
from tierline_models import BundleError, SplitError, split
from tierline_models.graphs.operators import quickest


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A U-Net as a bundle."""
    folder = tmp_path_factory.mktemp("bundles") / "unet"
    split(*unet()).save(folder, name="unet", labels=["in", "out"])
    return folder


@pytest.fixture
def bundle(saved: Path, tmp_path: Path) -> Path:
    """The same, to be damaged."""
    folder = tmp_path / "unet"
    (folder / "blocks").mkdir(parents=True)
    for path in saved.rglob("*.*"):
        if path.is_file():
            (folder / path.relative_to(saved)).write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize("name", ZOO)
def test_a_bundle_runs_without_the_models_code_and_equals_it_bit_for_bit(name: str, tmp_path: Path) -> None:
    model, inputs = ZOO[name]()
    digest = split(model, inputs).save(tmp_path / "bundle")
    loaded = tierline.load(tmp_path / "bundle")

    assert loaded.digest == digest
    assert loaded.differences() == [0.0] * len(loaded.points)


def test_a_bundle_holds_what_was_split(saved: Path) -> None:
    cut, loaded = split(*unet()), tierline.load(saved)

    assert loaded.points == cut.points
    assert (loaded.name, loaded.labels, loaded.inputs) == ("unet", ("in", "out"), cut.inputs)


def test_what_blocks_take_here_is_no_part_of_a_bundle(tmp_path: Path) -> None:
    cut = split(*unet())
    digest = cut.save(tmp_path / "before")
    seconds = [one.median for one in cut.time_blocks(runs=3)]

    assert [point.seconds for point in cut.points] == pytest.approx(
        [sum(seconds[: point.layer]) for point in cut.points]
    )
    assert cut.save(tmp_path / "after") == digest


def test_nothing_in_a_bundle_is_a_pickle(saved: Path) -> None:
    kinds = {path.suffix for path in saved.rglob("*") if path.is_file()}

    assert kinds == {".json", ".safetensors"}


def test_a_segment_reads_only_the_files_of_its_blocks(bundle: Path) -> None:
    loaded = tierline.load(bundle)
    for path in (bundle / "blocks").iterdir():
        if path.name != "0001.safetensors":
            path.unlink()

    assert loaded.head(0)(torch.randn(1, 3, 32, 32)).shape == (1, 8, 32, 32)
    with pytest.raises(BundleError, match=r"0002\.safetensors cannot be read"):
        loaded.head(1)


def test_saving_again_replaces_a_bundle_and_nothing_else(bundle: Path, tmp_path: Path) -> None:
    cut = split(*unet())
    cut.save(bundle, name="newer")

    assert tierline.load(bundle).name == "newer"
    assert [path.name for path in tmp_path.iterdir()] == ["unet"]
    (tmp_path / "mine").mkdir()
    with pytest.raises(BundleError, match="exists and is no bundle"):
        cut.save(tmp_path / "mine")


def test_a_full_disk_leaves_the_bundle_that_was_there(bundle: Path, tmp_path: Path) -> None:
    before = tierline.load(bundle).digest
    cut = split(*unet())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))  # bytes of a file
    try:
        with pytest.raises(BundleError, match="cannot be written to"):
            cut.save(bundle, name="newer")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert tierline.load(bundle).digest == before
    assert [path.name for path in tmp_path.iterdir()] == ["unet"]


def test_a_split_at_listed_modules_cannot_be_saved(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)).eval()
    with pytest.raises(SplitError, match="needs its code and cannot be saved"):
        split(model, torch.randn(1, 4), blocks=["0", "1"]).save(tmp_path / "bundle")


def test_any_changed_byte_is_refused(bundle: Path) -> None:
    for path in sorted(path for path in bundle.rglob("*") if path.is_file()):
        kept = path.read_bytes()
        changed = bytearray(kept)
        changed[len(changed) // 2] ^= 1
        path.write_bytes(changed)
        with pytest.raises(BundleError):
            _use(bundle)
        path.write_bytes(kept)
    _use(bundle)


@pytest.mark.parametrize("where", [0, 7, 0.5, -1])
@pytest.mark.parametrize("file", ["bundle.json", "graph.json", "blocks/0001.safetensors"])
def test_a_truncated_file_is_refused(bundle: Path, file: str, where: float) -> None:
    data = (bundle / file).read_bytes()
    (bundle / file).write_bytes(data[: int(len(data) * where) if where == 0.5 else int(where)])

    with pytest.raises(BundleError):
        _use(bundle)


def test_a_symbolic_link_is_refused(bundle: Path, tmp_path: Path) -> None:
    file = bundle / "blocks/0001.safetensors"
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(BundleError, match="symbolic link"):
        _use(bundle)


def test_a_linked_folder_is_refused(bundle: Path, tmp_path: Path) -> None:
    (bundle / "blocks").rename(tmp_path / "elsewhere")
    (bundle / "blocks").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(BundleError, match="symbolic link"):
        _use(bundle)


def test_a_pipe_is_refused_and_not_waited_for(bundle: Path) -> None:
    (bundle / "graph.json").unlink()
    os.mkfifo(bundle / "graph.json")

    with pytest.raises(BundleError, match="not a regular file"):
        _use(bundle)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "blocks/../../x", "code.py", "a.pkl"])
def test_a_file_outside_the_bundle_is_refused(bundle: Path, name: str) -> None:
    forge(bundle, lambda manifest: manifest["files"].update({name: {"sha256": "0", "bytes": 1}}))

    with pytest.raises(BundleError, match="which no bundle has"):
        _use(bundle)


def test_weights_from_outside_the_bundle_are_refused(bundle: Path) -> None:
    forge(bundle, lambda manifest: manifest["weights"][0].update(file="../../weights.safetensors"))

    with pytest.raises(BundleError, match="lists no file"):
        _use(bundle)


def test_an_oversized_header_is_refused(bundle: Path) -> None:
    file = bundle / "blocks/0001.safetensors"
    file.write_bytes((2**60).to_bytes(8, "little") + file.read_bytes()[8:])
    reseal(bundle)

    with pytest.raises(BundleError, match="announces a header of"):
        _use(bundle)


def test_weights_that_lie_over_each_other_are_refused(bundle: Path) -> None:
    file = bundle / "blocks/0001.safetensors"
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    places = [one for name, one in header.items() if name != "__metadata__"]
    longest = max(places, key=lambda one: one["data_offsets"][1] - one["data_offsets"][0])
    size = longest["data_offsets"][1] - longest["data_offsets"][0]
    longest["data_offsets"] = [0, size]
    next(one for one in places if one is not longest)["data_offsets"] = [0, 32]
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    reseal(bundle)

    with pytest.raises(BundleError, match="lies outside the file, or over another tensor"):
        _use(bundle)


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="this system does not count bytes read")
def test_a_segment_reads_its_files_once(tmp_path: Path) -> None:
    layers = [part for _ in range(4) for part in (nn.Linear(256, 256), nn.ReLU())]
    split(nn.Sequential(*layers).eval(), torch.randn(1, 256)).save(tmp_path / "bundle")
    loaded = tierline.load(tmp_path / "bundle")

    def read() -> int:
        return int(Path("/proc/self/io").read_text().splitlines()[0].split()[1])

    before = read()
    held = sum(one.nbytes for one in loaded.segment(1, 3).state_dict().values())

    assert held == 2 * 4 * (256 * 256 + 256)
    assert held <= read() - before <= 1.05 * held


def test_weights_that_are_no_numbers_are_refused(bundle: Path) -> None:
    file = bundle / "blocks/0002.safetensors"
    weights = load_file(file)
    next(iter(weights.values())).view(-1)[3] = float("nan")
    save_file(weights, file)
    reseal(bundle)

    with pytest.raises(BundleError, match="holds values that are no numbers"):
        _use(bundle)


def test_weights_of_another_shape_than_the_manifests_are_refused(bundle: Path) -> None:
    file = bundle / "blocks/0001.safetensors"
    weights = {name: one[:1].clone() for name, one in load_file(file).items()}
    save_file(weights, file)
    reseal(bundle)

    with pytest.raises(BundleError, match="the manifest says"):
        _use(bundle)


def test_a_manifest_with_weights_that_do_not_fit_the_graph_is_refused(bundle: Path) -> None:
    forge(bundle, lambda manifest: manifest["weights"][0].update(shape=[8, 4, 3, 3]))

    with pytest.raises(BundleError, match=r"the graph's \w+ \(aten\.conv2d\.default\) cannot be"):
        _use(bundle)


def test_a_point_that_measures_something_else_is_refused(bundle: Path) -> None:
    forge(bundle, lambda manifest: manifest["points"][0]["tensors"][0].update(shape=[1, 8, 32, 31]))

    with pytest.raises(BundleError, match="the manifest says that"):
        _use(bundle)


def _first_op(op: str) -> Callable[[Any], None]:
    return lambda graph: graph["calls"][0].__setitem__(1, op)


def test_an_argument_that_an_operator_lacks_reaches_no_other_function() -> None:
    assert quickest("aten.add.Tensor", ["alpha"]) is torch.add
    assert quickest("aten.add.Tensor", ["out"]) is torch.ops.aten.add.Tensor


HOSTILE: dict[str, tuple[Callable[[Any], None], str]] = {
    "another namespace": (_first_op("os.system.default"), "not among the operators"),
    "an operator that reads files": (_first_op("aten.from_file.default"), "not among the operators"),
    "an operator that writes its input": (_first_op("aten.relu_.default"), "not among the operators"),
    "an overload that writes": (_first_op("aten.add.out"), "changes its input"),
    "an attribute for an operator": (_first_op("aten.__class__.mro"), "not among the operators"),
    "an operator of a later version": (_first_op("aten.add.LaterOverload"), "torch .* has no operator"),
    "code for a name": (lambda g: g["calls"][0].__setitem__(0, "x=__import__('os')"), "is no name"),
    "code for a weight": (
        lambda g: g["calls"][0][2].__setitem__(1, {"weight": 'a"),__import__("os").abort(),("'}),
        "is no name of a weight",
    ),
    "code for a keyword": (lambda g: g["calls"][0][3].update({"a=1,b": 2}), "is no name"),
    "a reserved word": (lambda g: g["calls"][0].__setitem__(0, "lambda"), "is no name"),
    "a value nobody made": (
        lambda g: g["calls"][0][2].__setitem__(0, {"value": "later"}),
        "before anything has made it",
    ),
    "a value of a far block": (
        lambda g: g["calls"][-1][2].__setitem__(0, {"value": "x"}),
        "before anything has made it",
    ),
    "cuts out of order": (lambda g: g["cuts"].reverse(), "not in order|before anything"),
    "a cut too many": (lambda g: g["cuts"].pop(), "lists 5 split points|before anything"),
    "a huge number": (lambda g: g["calls"][0][2].__setitem__(3, [10**30, 1]), "is no argument"),
    "deep nesting": (lambda g: g["calls"][0][2].__setitem__(3, _nested(50)), "nested too deep"),
    "a list for sizes": (
        lambda g: g["calls"].insert(0, ["bomb", "sym.mul", [[1], 10**9], {}]),
        "arithmetic on sizes",
    ),
    "a terabyte": (
        lambda g: _insert(g, ["bomb", "aten.full.default", [[10**12], 0], {"device": {"device": "here"}}]),
        "would take",
    ),
    "no calls": (lambda g: g.pop("calls"), "is not a graph"),
    "calls of another kind": (lambda g: g.update(calls=[7]), "is not a graph"),
}


def _insert(graph: Any, call: Any) -> None:
    graph["calls"].insert(0, call)
    for cut in graph["cuts"]:
        cut["place"] += 1


def _nested(depth: int) -> Any:
    return [_nested(depth - 1)] if depth else []


@pytest.mark.parametrize("attack", HOSTILE)
def test_a_hostile_graph_is_refused_before_anything_of_it_runs(bundle: Path, attack: str) -> None:
    change, says = HOSTILE[attack]
    graph = json.loads((bundle / "graph.json").read_text())
    change(graph)
    (bundle / "graph.json").write_text(json.dumps(graph))
    reseal(bundle)

    with pytest.raises(BundleError, match=says) as caught:
        tierline.load(bundle)
    assert "\n" not in str(caught.value)


def test_json_that_nests_without_end_is_refused(bundle: Path) -> None:
    (bundle / "graph.json").write_text("[" * 100_000 + "]" * 100_000)
    reseal(bundle)

    with pytest.raises(BundleError, match="is no JSON"):
        tierline.load(bundle)


@pytest.mark.parametrize("field", ["name", "labels", "points", "inputs", "weights", "files"])
def test_a_manifest_that_lacks_something_is_refused(bundle: Path, field: str) -> None:
    forge(bundle, lambda manifest: manifest.pop(field))

    with pytest.raises(BundleError, match="lacks what a manifest has"):
        tierline.load(bundle)


def test_a_bundle_of_another_format_is_refused(bundle: Path) -> None:
    forge(bundle, lambda manifest: manifest.update(format=99))

    with pytest.raises(BundleError, match="a bundle of format 99, this version reads"):
        tierline.load(bundle)


def test_a_folder_without_a_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"bundle\.json cannot be read"):
        tierline.load(tmp_path)


@pytest.mark.skipif("TIERLINE_OTHER_PYTHON" not in os.environ, reason="needs a Python with another torch")
@pytest.mark.parametrize("make", [resnet50, decoder, encoder_decoder, unet])
@pytest.mark.timeout(300)
def test_a_bundle_crosses_versions_of_torch_both_ways(make: Any, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    with_an_exit(split(*make())).save(ours)
    script = (
        "import sys, torch, tierline; from tests.models import heads, zoo;"
        "torch.set_num_threads(1); loaded = tierline.load(sys.argv[1]);"
        "print(torch.__version__, max(loaded.differences() + loaded.exit_differences()));"
        f"heads.with_an_exit(tierline.split(*zoo.{make.__name__}())).save(sys.argv[2])"
    )
    command = [os.environ["TIERLINE_OTHER_PYTHON"], "-c", script, str(ours), str(theirs)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=240)
    version, difference = done.stdout.split()
    loaded = tierline.load(theirs)

    assert version != torch.__version__
    assert float(difference) < 1e-5
    assert max(loaded.differences() + loaded.exit_differences()) < 1e-5
    assert len(loaded.exits) == 1


def _use(folder: Path) -> None:
    loaded = tierline.load(folder)
    loaded.segment(0, loaded.layers)
    assert loaded.example
