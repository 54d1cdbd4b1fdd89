"""Fetch what a bundle needs and say what it is: `python -m tierline_models text`.

Useful before going offline and when an image of a container is made; nodes fetch by themselves otherwise.
"""

import argparse
import sys

import structlog

from tierline_models.bundle import Bundle
from tierline_models.catalogue import load_bundle
from tierline_models.errors import ModelError
from tierline_models.fetch import cache_folder


def main() -> int:
    """Fetch weights and labelled inputs of the bundles named."""
    parser = argparse.ArgumentParser(prog="python -m tierline_models", description=__doc__)
    parser.add_argument(
        "bundles", nargs="*", default=["text"], metavar="BUNDLE", help="text (default), image"
    )
    parser.add_argument(
        "--no-samples", action="store_true", help="weights only, as an edge or cloud node needs"
    )
    arguments = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        for name in arguments.bundles:
            bundle = load_bundle(name)
            samples = None if arguments.no_samples else len(bundle.samples("test", seed=0))
            sys.stdout.write(_summary(bundle, samples))
    except ModelError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"cache: {cache_folder()}\n")
    return 0


def _summary(bundle: Bundle, samples: int | None) -> str:
    exits = ", ".join(map(str, bundle.card.exits))
    counted = "" if samples is None else f", {samples} test samples"
    return f"{bundle.name} {bundle.digest[:12]}: {bundle.card.blocks} blocks, exits after {exits}{counted}\n"


if __name__ == "__main__":
    sys.exit(main())
