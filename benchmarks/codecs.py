"""What coding an activation costs, how small it gets, and at what error.

Times are of this thread's CPU, each a median of rounds in which everything takes its turn, as ratios to
copying the float32 array in the same round. Sizes and errors are of real activations: MiniLM hidden states of
film review snippets, ReLU6 maps inside EfficientNet-Lite0 of photographs. `--quick` takes fewer rounds and
samples; `--plot FOLDER` draws rate against error and time against size instead, and `--table` prints what
every codec takes. What the models make of it is in `codec_agreement.py`.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path

import structlog
import torch
from _codec_peers import peer_rows
from _codec_rate import rate_rows
from _codec_speed import lent_rows, native_rows, numpy_rows, table
from _codec_timing import QUICK, THOROUGH


def main() -> None:
    """Measure and print the rows, or the table, or draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=sys.stderr))
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    effort = QUICK if args.quick else THOROUGH
    if args.plot:
        from _codec_plots import plot  # which needs matplotlib

        plot(args.plot, effort)
    elif args.table:
        print(table(effort))
    else:
        # The kernels last: once they are there, they stay in use.
        parts = (numpy_rows, lent_rows, peer_rows, rate_rows, native_rows)
        rows = []
        for part in parts:
            print(part.__name__.replace("_", " "), file=sys.stderr)
            rows += part(effort)
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
