"""Make the files that the text workload ships: `python -m tierline_models.train_exits`.

Trains adapters and heads on the train split, then calibrates the exits and measures the routes on the
validation split, with the model as it will be loaded. The same seed on the same machine gives the same files.
"""

import argparse
import math
import platform
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog
import torch
from safetensors.torch import save
from torch import Tensor

from tierline_models.bundle import Sample
from tierline_models.calibration import fit_temperature
from tierline_models.errors import ModelError
from tierline_models.fetch import fetch
from tierline_models.lora import adapter_state
from tierline_models.measure import run_exits
from tierline_models.minilm import load_encoder
from tierline_models.routes import route_table
from tierline_models.segmented import Carried, SegmentedModel
from tierline_models.snippets import Snippet, load_snippets
from tierline_models.text import (
    ADAPTER_FILE,
    EXITS,
    LABELS,
    MANIFEST_FILE,
    MINILM,
    Manifest,
    build_model,
    load_input,
    sample_snippets,
)
from tierline_models.training import Example, ExitStack, Settings, train

log = structlog.get_logger()

SOFTNESS = 1.5  # of the targets, per point of the rating


def train_adapter(encoder: Path, snippets: Sequence[Snippet], settings: Settings) -> bytes:
    """Adapters and heads as a safetensors file, in half precision, which costs no accuracy.

    Args:
        encoder: folder that holds the fetched encoder and its tokenizer.
        snippets: to train on.
        settings: of the training; its seed fixes everything.
    """
    torch.manual_seed(settings.seed)
    embedding, blocks = load_encoder(encoder / "model.safetensors")
    stack = ExitStack(embedding, blocks, EXITS, len(LABELS)).train()
    train(stack, _examples(encoder / "tokenizer.json", snippets), settings, _report)
    state = adapter_state(stack.blocks)
    state |= {f"exit{name}": weights for name, weights in stack.heads.state_dict().items()}
    return save({name: weights.detach().half().contiguous() for name, weights in state.items()})


def soft_target(rating: float) -> tuple[float, float]:
    """How probable each class is held to be: a lukewarm review is nearly as likely the one as the other."""
    positive = 1 / (1 + math.exp(-SOFTNESS * rating))
    return 1 - positive, positive


def make_manifest(model: SegmentedModel, samples: Sequence[Sample], made: Mapping[str, str]) -> Manifest:
    """Calibrate the exits and measure everything that the card states, on data that was not trained on."""
    answers = run_exits(model, samples)
    temperatures = {layer: fit_temperature(answers.logits[layer], answers.truth) for layer in EXITS}
    correct = {layer: answers.correct(layer) for layer in EXITS}
    confidence = {layer: answers.confidence(layer, temperatures[layer]) for layer in EXITS}
    return Manifest(
        temperatures=temperatures,
        input_bytes=round(statistics.mean(len(sample.data) for sample in samples)),
        pieces=round(statistics.mean(_pieces(model.preprocess(sample.data)) for sample in samples)),
        accuracy=float(correct[EXITS[-1]].double().mean()),
        routes=route_table(confidence, correct),
        made=dict(made),
    )


def main() -> int:
    """Train, calibrate, measure, write both files."""
    arguments = _parse_arguments()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    torch.set_num_threads(1)
    settings = Settings(seed=arguments.seed, epochs=arguments.epochs)
    try:
        encoder = fetch(MINILM)
        start = time.process_time()
        adapter = train_adapter(encoder, load_snippets()["train"], settings)
        log.info("trained", cpu_seconds=round(time.process_time() - start), bytes=len(adapter))
        model = build_model(encoder, adapter, dict.fromkeys(EXITS, 1.0))
        manifest = make_manifest(model, sample_snippets("validation", settings.seed), _made(settings))
    except ModelError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    (arguments.out / ADAPTER_FILE).write_bytes(adapter)
    (arguments.out / MANIFEST_FILE).write_text(manifest.to_json(), encoding="utf-8")
    log.info("files_written", into=str(arguments.out), temperatures=manifest.temperatures)
    return 0


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tierline_models.train_exits", description=__doc__)
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--epochs", type=int, default=Settings.epochs)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data", help="an existing folder")
    arguments = parser.parse_args()
    if not arguments.out.is_dir():
        parser.error(f"{arguments.out} is not a folder; make it first")
    return arguments


def _made(settings: Settings) -> dict[str, str]:
    return {
        "command": f"python -m tierline_models.train_exits --seed {settings.seed} --epochs {settings.epochs}",
        "torch": torch.__version__,
        "machine": platform.machine(),
    }


def _pieces(ids: Carried) -> int:
    """T of (1, T)."""
    return (ids if isinstance(ids, Tensor) else ids[0]).shape[1]


def _examples(tokenizer_file: Path, snippets: Sequence[Snippet]) -> list[Example]:
    tokenizer = load_input(tokenizer_file).encoder
    return [Example(tuple(tokenizer.encode(one.text).ids), soft_target(one.rating)) for one in snippets]


def _report(step: int, steps: int, loss: float) -> None:
    log.info("training", step=step, of=steps, loss=round(loss, 3))


if __name__ == "__main__":
    sys.exit(main())
