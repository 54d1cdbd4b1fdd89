"""Models with weights that others trained: a face detector's nets and a speech detector, from packages."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from tests.models.zoo import Example
from tierline_models import load_bundle
from tierline_models.fetch import Member, Package, fetch
from tierline_models.pictures import shipped_photographs

MTCNN = Package(
    name="facenet-pytorch",
    version="2.6.0",
    sha256="ecb82b27beb226d106f2219efe8f829b01b87a8595badd01545679bdb9f19cca",
    size=1_881_930,
    wheel=True,
    members=(
        Member(
            path=("facenet_pytorch/data/pnet.pt",),
            name="pnet.pt",
            size=28_570,
            sha256="a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
        ),
        Member(
            path=("facenet_pytorch/data/onet.pt",),
            name="onet.pt",
            size=1_559_269,
            sha256="165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
        ),
    ),
)
SILERO = Package(
    name="silero-vad",
    version="6.2.3",
    sha256="7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
    size=11_317_527,
    wheel=True,
    members=(
        Member(
            path=("silero_vad/data/silero_vad_16k.safetensors",),
            name="silero_vad_16k.safetensors",
            size=1_239_748,
            sha256="c59271c284ae9c8335d795d60e0bfdb71aaaceec578d9bd9ffc1b8153c319ea1",
        ),
        Member(
            path=("silero_vad/data/silero_vad_16k_op15.onnx",),
            name="silero_vad_16k_op15.onnx",
            size=1_289_603,
            sha256="7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49",
        ),
    ),
)

FACE = (55, 165)  # where it is in the photograph: from the top, from the left


class ProposalNet(nn.Module):
    """MTCNN's first net: where in a picture of any size a face of 12 pixels may be.

    Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks", 2016.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), nn.PReLU(10)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.conv4_1, self.conv4_2 = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) to corrections of boxes (B, 4, h, w) and chances (B, 2, h, w)."""
        x = functional.max_pool2d(self.prelu1(self.conv1(x)), 2, 2, ceil_mode=True)
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(x))))
        return self.conv4_2(x), functional.softmax(self.conv4_1(x), dim=1)


class OutputNet(nn.Module):
    """MTCNN's last net: is this a face, where exactly, and where are its eyes, nose and mouth."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), nn.PReLU(64)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), nn.PReLU(64)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), nn.PReLU(128)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), nn.PReLU(256)
        self.dense6_1, self.dense6_2, self.dense6_3 = (nn.Linear(256, outputs) for outputs in (2, 4, 10))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, 48, 48) to box (B, 4), landmarks (B, 10) and chances (B, 2)."""
        x = functional.max_pool2d(self.prelu1(self.conv1(x)), 3, 2, ceil_mode=True)
        x = functional.max_pool2d(self.prelu2(self.conv2(x)), 3, 2, ceil_mode=True)
        x = functional.max_pool2d(self.prelu3(self.conv3(x)), 2, 2, ceil_mode=True)
        x = self.prelu4(self.conv4(x)).permute(0, 3, 2, 1).contiguous()
        x = self.prelu5(self.dense5(x.view(x.shape[0], -1)))
        return self.dense6_2(x), self.dense6_3(x), functional.softmax(self.dense6_1(x), dim=1)


class SpeechNet(nn.Module):
    """Silero's detector of speech at 16 kHz: magnitudes of a short spectrum, convolutions, an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 258, 256, 128, bias=False)
        self.conv1 = nn.Conv1d(129, 128, 3, 1, 1)
        self.conv2 = nn.Conv1d(128, 64, 3, 2, 1)
        self.conv3 = nn.Conv1d(64, 64, 3, 2, 1)
        self.conv4 = nn.Conv1d(64, 128, 3, 1, 1)
        self.lstm_cell = nn.LSTMCell(128, 128)
        self.final_conv = nn.Conv1d(128, 1, 1)

    def forward(self, wave: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """64 samples from before and 512 new ones (B, 576), state (B, 2, 128): the chance (B, 1), state."""
        x = self.stft_conv(functional.pad(wave, (0, 64), "reflect").unsqueeze(1))
        x = (x[:, :129] ** 2 + x[:, 129:] ** 2).sqrt()  # (B, 129, 4)
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = functional.relu(conv(x))
        hidden, cell = self.lstm_cell(x.squeeze(-1), (state[:, 0], state[:, 1]))
        chance = torch.sigmoid(self.final_conv(functional.relu(hidden).unsqueeze(-1)))
        return chance.squeeze(1).mean(1).unsqueeze(1), torch.stack([hidden, cell], 1)


class Whole(nn.Module):
    """A built-in bundle as one module, with its last exit."""

    def __init__(self, name: str) -> None:
        super().__init__()
        bundle = load_bundle(name)
        self.blocks = bundle.model.blocks
        self.head = bundle.model.exits[len(self.blocks)].head
        self.example = bundle.model.preprocess(bundle.example)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def astronaut(top: int, left: int, *size: int) -> Tensor:
    """140 by 120 pixels of the astronaut's photograph as MTCNN wants them, (1, 3, H, W) of about -1 to 1."""
    picture = np.array(Image.open(io.BytesIO(shipped_photographs()["astronaut.png"])).convert("RGB"))
    planes = torch.from_numpy(picture).permute(2, 0, 1).float().unsqueeze(0)
    part = planes[..., top : top + 140, left : left + 120]
    return (functional.interpolate(part, size, mode="area") - 127.5) * 0.0078125


def _trained(model: nn.Module, path: Path) -> nn.Module:
    is_safe = path.suffix == ".safetensors"
    model.load_state_dict(load_file(path) if is_safe else torch.load(path, weights_only=True))
    return model.eval()


def proposal_net() -> Example:
    return _trained(ProposalNet(), fetch(MTCNN) / "pnet.pt"), (astronaut(*FACE, 40, 36),)


def output_net() -> Example:
    return _trained(OutputNet(), fetch(MTCNN) / "onet.pt"), (astronaut(*FACE, 48, 48),)


def speech_net() -> Example:
    wave = torch.sin(torch.arange(576) * 0.09).reshape(1, 576) * 0.3
    model = _trained(SpeechNet(), fetch(SILERO) / "silero_vad_16k.safetensors")
    return model, (wave, torch.zeros(1, 2, 128))


def _built_in(name: str) -> Example:
    model = Whole(name).eval()
    return model, (model.example,)


REAL: dict[str, Callable[[], Example]] = {
    "MiniLM-L6, real weights": lambda: _built_in("text"),
    "EfficientNet-Lite0, real weights": lambda: _built_in("image"),
    "MTCNN proposal net, real weights": proposal_net,
    "MTCNN output net, real weights": output_net,
    "Silero speech net, real weights": speech_net,
}
