#!/usr/bin/env python3
"""How near `hearth fit` is to the memory that models take, each in a process of its own.

    cargo build --release
    bench/fit.py [--ctx 1024] [--threads 2] [--exact] [--runs 3] MODEL...

MODEL is a file or a directory. `hearth fit --check` loads it, fills the context and compares. Prints a Markdown table
with the median run; fails where a prediction is more than 3 % off.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

HEARTH = Path(__file__).resolve().parent.parent / "target/release/hearth"
TOLERANCE = 3.0
MIB = 1 << 20


def check(options, model):
    command = [options.hearth, "fit", model, "--check", "--json", "--ctx", options.ctx, "--threads", options.threads]
    command += ["--exact"] if options.exact else []
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{model}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--ctx", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--exact", action="store_true")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--hearth", default=HEARTH)
    options = parser.parse_args()
    print("| model | context | predicted MiB | measured MiB | difference |\n|---|---|---|---|---|")
    wrong = 0
    for model in options.models:
        runs = [check(options, model) for _ in range(options.runs)]
        runs.sort(key=lambda run: run["difference_percent"])
        run = runs[len(runs) // 2]
        error = statistics.median(run["difference_percent"] for run in runs)
        wrong += abs(error) > TOLERANCE
        path = Path(model)
        name = f"{path.parent.name}/{path.name}" if path.name in ("hf", "model.gguf") else path.name
        predicted, measured = run["predicted_bytes"] / MIB, run["measured_bytes"] / MIB
        print(f"| {name} | {run['context']} | {predicted:.1f} | {measured:.1f} | {error:+.2f} % |", flush=True)
    sys.exit(wrong > 0)


main()
