"""ONNX in bundles: beside the weights, covered by the seal, checked before onnxruntime sees it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from onnx import ModelProto, TensorProto, helper

import tierline
from tests.models.zoo import decoder, unet
from tierline_models import BundleError, TokenHead, onnx_differences, split
from tierline_models.graphs.files import Files
from tierline_models.graphs.manifest import read_manifest
from tierline_models.onnx.check import MOST_BYTES, check_model
from tierline_models.onnx.places import Places


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder with one exit, as a bundle with ONNX."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("bundles") / "decoder"
    cut = split(*decoder())
    cut.add_exit(2, TokenHead(32, 100))
    digest = cut.save(folder / "with", onnx=True)
    assert cut.save(folder / "without") == digest
    return folder


def test_each_block_and_exit_has_its_onnx_and_the_digest_is_what_it_was(saved: Path) -> None:
    manifest = read_manifest(saved / "with")
    layers = len(manifest.points) + 1

    assert list(manifest.beside) == [f"blocks/{layer:04}.onnx" for layer in range(1, layers + 1)] + [
        "exits/0003.onnx"
    ]
    assert manifest.digest == read_manifest(saved / "without").digest


def test_weights_are_not_there_twice(saved: Path) -> None:
    size = sum(path.stat().st_size for path in saved.rglob("with/*/*.onnx"))

    assert size < 0.1 * sum(path.stat().st_size for path in saved.rglob("with/*/*.safetensors"))


def test_a_changed_byte_of_an_onnx_file_is_refused(saved: Path, tmp_path: Path) -> None:
    cut = split(*unet())
    cut.save(tmp_path / "unet", onnx=True)
    file = tmp_path / "unet" / "blocks" / "0002.onnx"
    changed = bytearray(file.read_bytes())
    changed[len(changed) // 2] ^= 1
    file.write_bytes(changed)
    manifest = read_manifest(tmp_path / "unet")

    with pytest.raises(BundleError, match="sha256 differs"):
        Files(tmp_path / "unet", manifest.files, manifest.beside).check("blocks/0002.onnx")
    assert tierline.load(tmp_path / "unet").differences() == [0.0] * len(cut.points)  # needs none of it


def test_blocks_and_exits_of_a_bundle_equal_torch(saved: Path) -> None:
    differences = onnx_differences(saved / "with")

    assert len(differences) == len(read_manifest(saved / "with").points) + 1
    assert max(differences) < 1e-5
    with pytest.raises(BundleError, match=r"has no blocks/0001\.onnx; make it with `tierline bundle build"):
        onnx_differences(saved / "without")


def test_a_bundle_runs_where_there_is_no_torch(saved: Path) -> None:
    """A process whose torch cannot be imported runs all blocks as torch here does."""
    script = (
        "import sys; sys.modules['torch'] = None; import json, pathlib, numpy as np;"
        "from tierline_models.onnx.blocks import OnnxBlocks;"
        "blocks = OnnxBlocks(pathlib.Path(sys.argv[1])); x = (np.array(json.loads(sys.argv[2])),)\n"
        "for layer in range(1, len(blocks.manifest.points) + 2): x = blocks.block(layer)(*x)\n"
        "print(json.dumps(x[0].tolist()))"
    )
    cut = tierline.load(saved / "with")
    ids, expected = cut.example[0][0], cut.example[1][0]
    command = [sys.executable, "-c", script, str(saved / "with"), json.dumps(ids.tolist())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)

    assert torch.allclose(torch.tensor(json.loads(done.stdout)), expected, atol=1e-4)


def _external(model: ModelProto) -> TensorProto:
    return next(one for one in model.graph.initializer if one.external_data)


def _set(tensor: TensorProto, key: str, value: str) -> None:
    next(one for one in tensor.external_data if one.key == key).value = value


def _subgraph(model: ModelProto) -> None:
    inner = helper.make_graph([], "inner", [], [])
    model.graph.node.append(helper.make_node("If", ["c/0"], ["y"], then_branch=inner, else_branch=inner))


def _sneaking(model: ModelProto) -> None:
    inner = helper.make_graph([], "inner", [], [])
    model.graph.node[0].attribute.append(helper.make_attribute("body", inner))


def _tensor_of_its_own(model: ModelProto) -> None:
    tensor = helper.make_tensor("x", TensorProto.FLOAT, [1], [1.0])
    model.graph.node[0].attribute.append(helper.make_attribute("value", tensor))


HOSTILE: dict[str, tuple[Callable[[ModelProto], object], str]] = {
    "a path out of the bundle": (
        lambda m: _set(_external(m), "location", "../../../etc/passwd"),
        "is not where the bundle has it",
    ),
    "an absolute path": (lambda m: _set(_external(m), "location", "/etc/passwd"), "is not where the bundle"),
    "bytes of another weight": (
        lambda m: _set(_external(m), "offset", "0"),
        "is not where the bundle has it",
    ),
    "more bytes": (lambda m: _set(_external(m), "length", str(2**40)), "is not where the bundle has it"),
    "a sum of its own": (
        lambda m: _external(m).external_data.add(key="checksum", value="0"),
        "is not where the bundle has it",
    ),
    "another shape": (lambda m: _external(m).dims.append(2), "does not measure the same"),
    "another type": (
        lambda m: setattr(_external(m), "data_type", TensorProto.DOUBLE),
        "not measure the same",
    ),
    "a weight that is not there": (
        lambda m: setattr(_external(m), "name", "w/elsewhere"),
        "is no weight of the bundle",
    ),
    "a file for a constant": (lambda m: setattr(_external(m), "name", "c/9"), "is no weight of the bundle"),
    "a weight within": (
        lambda m: setattr(_external(m), "data_location", TensorProto.DEFAULT),
        "is no constant as this version writes it",
    ),
    "a custom operator": (
        lambda m: m.graph.node.append(helper.make_node("Evil", ["x"], ["y"], domain="com.example")),
        r"calls 'com\.example\.Evil', which is not among the operators",
    ),
    "an operator of a vendor": (
        lambda m: setattr(m.graph.node[0], "domain", "com.microsoft"),
        "which is not among the operators",
    ),
    "another set of operators": (
        lambda m: m.opset_import.append(helper.make_opsetid("com.example", 1)),
        "asks for operators",
    ),
    "a branch": (_subgraph, "calls 'If'"),
    "a graph within": (_sneaking, "'body', which is no plain value"),
    "a tensor within": (_tensor_of_its_own, "'value', which is no plain value"),
    "a function of its own": (lambda m: m.functions.add(name="f"), "holds more than a graph"),
    "training": (lambda m: m.training_info.add(), "holds more than a graph"),
    "sparse weights": (lambda m: m.graph.sparse_initializer.add(), "holds more than a graph"),
    "an overloaded operator": (lambda m: setattr(m.graph.node[0], "overload", "x"), "which is not among"),
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_a_hostile_onnx_is_refused_before_onnxruntime_sees_it(saved: Path, attack: str) -> None:
    change, says = HOSTILE[attack]
    model = onnx.load(str(saved / "with/blocks/0003.onnx"), load_external_data=False)
    change(model)

    with pytest.raises(BundleError, match=says) as caught:
        _check(saved, model.SerializeToString())
    assert "\n" not in str(caught.value)


def test_what_is_no_onnx_is_refused(saved: Path) -> None:
    whole = (saved / "with/blocks/0003.onnx").read_bytes()

    _check(saved, whole)
    with pytest.raises(BundleError, match="is no ONNX"):
        _check(saved, whole[: len(whole) // 2])
    with pytest.raises(BundleError, match="more than any block's graph needs"):
        _check(saved, bytes(MOST_BYTES + 1))
    with pytest.raises(BundleError, match="asks for operators"):
        _check(saved, b"")


def _check(saved: Path, data: bytes) -> None:
    manifest = read_manifest(saved / "with")
    files = Files(saved / "with", manifest.files, manifest.beside)
    check_model(data, Places(files, manifest.weights).find, "blocks/0003.onnx")
