"""Real weights: split as a user would split them, without the hand-made blocks."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

import tierline
from tests.models.real import FACE, REAL, SILERO, SpeechNet, Whole, astronaut, output_net, proposal_net
from tierline_models import load_bundle
from tierline_models.fetch import fetch


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("name", "at_least"), [("text", 6), ("image", 16)])
def test_models_with_real_weights_are_cut_where_we_cut_them_by_hand(name: str, at_least: int) -> None:
    model = Whole(name).eval()
    cut = tierline.split(model, model.example)

    assert len(cut.points) >= at_least
    assert cut.differences() == [0.0] * len(cut.points)
    assert all(len(point.tensors) == 1 for point in cut.points)


@pytest.mark.timeout(180)
def test_an_encoder_split_once_takes_texts_of_any_length() -> None:
    bundle = load_bundle("text")
    model = Whole("text").eval()
    cut = tierline.split(model, model.example)
    with torch.no_grad():
        for text in (b"good", b"a gorgeous, witty, seductive film that never outstays its welcome"):
            x = bundle.model.preprocess(text)
            for k in (0, len(cut.points) // 2, -1):
                assert torch.equal(cut.tail(k)(cut.head(k)(x)), model(x))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", [name for name in REAL if "net" in name and "Lite" not in name])
def test_detectors_of_faces_and_of_speech_split_equal_at_every_point(name: str) -> None:
    model, inputs = REAL[name]()
    cut = tierline.split(model, inputs, every=True)

    assert len(cut.points) >= 4
    assert cut.differences() == [0.0] * len(cut.points)


def test_the_face_detector_finds_the_astronaut_and_no_other_face() -> None:
    output, _ = output_net()
    proposal, _ = proposal_net()
    with torch.no_grad():
        assert output(astronaut(*FACE, 48, 48))[2][0, 1] > 0.99
        assert output(astronaut(300, 300, 48, 48))[2][0, 1] < 0.01
        assert proposal(astronaut(*FACE, 40, 36))[1][0, 1].max() > 0.9


def test_the_speech_detector_is_the_one_that_was_published() -> None:
    """Its own ONNX, run by onnxruntime, against our module with that file's weights, over three windows."""
    file = fetch(SILERO) / "silero_vad_16k_op15.onnx"
    weights = [numpy_helper.to_array(one) for one in onnx.load(str(file)).graph.initializer]
    model = SpeechNet().eval()
    ours = zip(model.state_dict().values(), weights, strict=True)
    with torch.no_grad():
        for one, published in ours:
            one.copy_(torch.from_numpy(published.copy()))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(file), options)
    state = torch.zeros(1, 2, 128)
    for window in torch.randn(3, 1, 576, generator=torch.Generator().manual_seed(0)) * 0.1:
        given = {"input": window.numpy(), "state": state.transpose(0, 1).numpy(), "sr": np.array(16000)}
        chance, after = session.run(None, given)
        with torch.no_grad():
            found, state = model(window, state)
        np.testing.assert_allclose(found.numpy(), chance, atol=1e-5)
        np.testing.assert_allclose(state.transpose(0, 1).numpy(), after, atol=1e-4)
