"""Print a bundle's labelled inputs as JSON lines, for programs that do without torch.

python -m tierline_models.samples text --split test --seed 0 --count 400
"""

import argparse
import base64
import json
import sys

import structlog

from tierline_models.bundle import Sample
from tierline_models.catalogue import load_bundle
from tierline_models.errors import ModelError


def main() -> int:
    """Print them, or say in one sentence why not."""
    arguments = _parse_arguments()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        samples = load_bundle(arguments.bundle).samples(arguments.split, arguments.seed)
    except ModelError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for sample in samples[: arguments.count]:
        sys.stdout.write(line_of(sample))
    return 0


def line_of(sample: Sample) -> str:
    """One sample as a line of JSON: `data` in base64, `label` a word or null."""
    return json.dumps({"data": base64.b64encode(sample.data).decode(), "label": sample.label}) + "\n"


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tierline_models.samples", description=__doc__)
    parser.add_argument("bundle", help="`text`, `image` or a directory")
    parser.add_argument("--split", default="test")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, help="at most so many (all)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
