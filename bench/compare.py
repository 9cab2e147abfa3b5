#!/usr/bin/env python3
"""hearth beside llama.cpp on one file, in turns, so that a noisy machine disturbs both alike.

    cargo build --release
    pip install llama-cpp-python
    bench/compare.py MODEL.gguf [--threads 2] [--prefill 512] [--decode 64] [--rounds 5]

Each round measures hearth, then llama.cpp, each in a process of its own, after one round that does not count.
Prints a Markdown table: medians, and the median and range of the ratio round by round.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

HEARTH = Path(__file__).resolve().parent.parent / "target/release/hearth"


def hearth(options):
    command = [options.hearth, "bench", options.model, "--json", "--reps", "1", "--threads", options.threads]
    command += ["--prefill", options.prefill, "--decode", options.decode]
    report = json.loads(subprocess.run([str(word) for word in command], check=True, capture_output=True).stdout)
    return report["prefill_tps"], report["decode_tps"], report["decode_roofline_share"]


def llama_cpp(options):
    command = [sys.executable, __file__, options.model, "--inner", "--threads", options.threads]
    command += ["--prefill", options.prefill, "--decode", options.decode]
    return json.loads(subprocess.run([str(word) for word in command], check=True, capture_output=True).stdout)


def inner(options):
    """The same steps as `hearth bench`, through llama.cpp's own functions."""
    from llama_cpp import Llama

    context = max(options.prefill, options.decode + 1) + 8
    model = Llama(options.model, n_ctx=context, n_batch=512, n_ubatch=512, n_threads=options.threads,
                  n_threads_batch=options.threads, flash_attn=True, verbose=False)
    tokens = [i * 2654435761 % model.n_vocab() for i in range(max(options.prefill, options.decode + 1))]

    def decode(count):
        model.reset()
        model.eval(tokens[:1])
        start = time.perf_counter()
        for token in tokens[1 : count + 1]:
            model.eval([token])
        return count / (time.perf_counter() - start)

    decode(2)
    model.reset()
    start = time.perf_counter()
    model.eval(tokens[: options.prefill])
    prefill = options.prefill / (time.perf_counter() - start)
    print(json.dumps([prefill, decode(options.decode)]))


def row(name, ours, theirs):
    ratios = [a / b for a, b in zip(ours, theirs)]
    median = statistics.median
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    return f"| {name} | {median(ours):.1f} | {median(theirs):.1f} | {median(ratios):.2f} | {spread} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prefill", type=int, default=512)
    parser.add_argument("--decode", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hearth", default=str(HEARTH), help="the program to measure")
    parser.add_argument("--inner", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inner:
        return inner(options)
    ours, theirs = [], []
    for number in range(options.rounds + 1):
        pair = hearth(options), llama_cpp(options)
        if number > 0:
            ours.append(pair[0])
            theirs.append(pair[1])
            print(f"round {number}: hearth {pair[0]}, llama.cpp {pair[1]}", file=sys.stderr)
    share = statistics.median(report[2] for report in ours)
    print(f"{options.model}, {options.threads} threads, {options.rounds} rounds\n")
    print("| test | hearth tok/s | llama.cpp tok/s | ratio | range |\n|---|---|---|---|---|")
    print(row(f"prefill {options.prefill}", [r[0] for r in ours], [r[0] for r in theirs]))
    print(row(f"decode {options.decode}", [r[1] for r in ours], [r[1] for r in theirs]))
    print(f"\nhearth's decode moves {100 * share:.0f} % of the memory bandwidth measured in the same process.")


if __name__ == "__main__":
    main()
