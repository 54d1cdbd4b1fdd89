"""The long version of test_hostile.py: bent and random frames by the million, seeded.

`python tests/codecs/fuzz.py [--frames 1000000] [--seed 1]` tells counts and times, or what went wrong.
"""

import argparse
import importlib.util
import random
import statistics
import time
import tracemalloc
from pathlib import Path

from tierline_codecs import Limits

SOURCE = Path(__file__).parent / "test_hostile.py"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    spec = importlib.util.spec_from_file_location("hostile", SOURCE)
    hostile = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hostile)
    rng, limits, frames = random.Random(args.seed), Limits(array_bytes=1_000_000), hostile.valid_frames()
    decoded, seconds = 0, []
    tracemalloc.start()
    for number in range(args.frames):
        frame = hostile.random_frame(rng) if number % 4 == 0 else hostile.mutated(rng.choice(frames), rng)
        start = time.thread_time()
        decoded += hostile.decodes_or_refuses(frame, limits)
        seconds.append(time.thread_time() - start)
    median, slowest = 1e6 * statistics.median(seconds), 1e6 * max(seconds)
    print(  # noqa: T201
        f"{args.frames} frames: {decoded} decoded, the rest refused;"
        f" {median:.0f} us of CPU each (median), {slowest:.0f} us the slowest"
    )


if __name__ == "__main__":
    main()
