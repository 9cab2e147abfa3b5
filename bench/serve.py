#!/usr/bin/env python3
"""`hearth serve` beside llama-server with many chats at once, in turns, so that a noisy machine disturbs both alike.

    cargo build --release
    bench/serve.py MODEL.gguf --llama-server PATH [--parallel 1 8 16] [--threads 2] [--tokens 96] [--rounds 3]
    bench/serve.py MODEL.gguf --grammar [--parallel 8]

Both programs run all the time; each round loads one, then the other, after one round that does not count. A chat is a
prompt of its own, of about 64 tokens, streamed to a fixed number of tokens. Prints a Markdown table: tokens per second
of all chats together, the ratio round by round, and processor seconds per thousand tokens, which other programs on
the machine disturb less than the clock. With --grammar, hearth's chats in free text and in a JSON schema take turns.
"""

import argparse
import http.client
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HEARTH = Path(__file__).resolve().parent.parent / "target/release/hearth"
WORDS = ("river stone window garden letter winter morning engine paper silver market bridge candle forest harbour "
         "mountain needle orange pencil question").split()
# Never done before the tokens are: an array without an end.
SCHEMA = {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}, "size": {
    "type": "integer"}}, "required": ["name", "size"], "additionalProperties": False}, "minItems": 10_000}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A program that answers /v1/chat/completions."""

    def __init__(self, name, command, environment, model):
        self.name, self.model, self.port = name, model, free_port()
        command = [str(word).replace("PORT", str(self.port)) for word in command]
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, env=os.environ | environment, stdout=self.log, stderr=self.log)

    def wait(self):
        for _ in range(600):
            if self.process.poll() is not None:
                self.log.seek(0)
                sys.exit(f"{self.name} ended: {self.log.read().decode(errors='replace')[-2000:]}")
            try:
                self.chat("Hello", 2, {})
                return
            except (OSError, http.client.HTTPException, RuntimeError):
                time.sleep(0.5)
        sys.exit(f"{self.name} does not answer")

    def chat(self, text, tokens, more):
        """Streams one answer; returns its tokens and the seconds to the first of them."""
        body = {"model": self.model, "messages": [{"role": "user", "content": text}], "max_tokens": tokens,
                "stream": True, "stream_options": {"include_usage": True}, "ignore_eos": True, "temperature": 0.8} | more
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1800)
        start, first, generated = time.perf_counter(), None, None
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            raise RuntimeError(f"{self.name}: {response.status} {response.read()[:500]}")
        for line in response:
            if line.startswith(b"data: {"):
                first = first or time.perf_counter() - start
                usage = json.loads(line[6:]).get("usage")
                generated = usage["completion_tokens"] if usage else generated
        connection.close()
        return generated, first

    def processor_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.terminate()
        self.process.wait()


def load(server, chats, tokens, seed, more):
    """Runs `chats` at once: tokens per second of all together, and processor seconds per 1000 tokens."""
    chance = random.Random(seed)
    texts = [" ".join(chance.choices(WORDS, k=50)) for _ in range(chats)]
    results, errors = [], []

    def one(text):
        try:
            results.append(server.chat(text, tokens, more))
        except Exception as error:  # told after all threads ended
            errors.append(error)

    threads = [threading.Thread(target=one, args=(text,)) for text in texts]
    start, before = time.perf_counter(), server.processor_seconds()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        sys.exit(f"{server.name}: {errors[0]}")
    total = sum(generated for generated, _ in results)
    if total != chats * tokens:
        sys.exit(f"{server.name} generated {total} tokens, expected {chats * tokens}")
    used = server.processor_seconds() - before
    return total / (time.perf_counter() - start), 1000 * used / total


def hearth(options, home, chats):
    model = Path(home) / "Modelfile"
    model.write_text(f"FROM {Path(options.model).resolve()}\n")
    environment = {"HEARTH_MODELS": f"{home}/models"}
    create = [options.hearth, "create", "bench", "-f", str(model)]
    subprocess.run(create, env=os.environ | environment, check=True, capture_output=True)
    command = [options.hearth, "serve", "--listen", "127.0.0.1:PORT", "--threads", options.threads, "--ctx", 1024,
               "--parallel", chats]
    return Server("hearth", command, environment, "bench")


def llama_server(options, chats):
    command = [options.llama_server, "-m", options.model, "--port", "PORT", "-t", options.threads, "-tb",
               options.threads, "-c", 1024 * chats, "-np", chats, "-cb", "-fa", "on"]
    return Server("llama-server", command, {}, "bench")


def rows(names, pairs, label):
    """One line of the table from the rounds' pairs of (tokens per second, processor seconds)."""
    ratios = [a[0] / b[0] for a, b in pairs]
    costs = [b[1] / a[1] for a, b in pairs]
    median = statistics.median
    speeds = [median(pair[side][0] for pair in pairs) for side in (0, 1)]
    return (f"| {label} | {speeds[0]:.1f} | {speeds[1]:.1f} | {median(ratios):.2f} | {min(ratios):.2f} to "
            f"{max(ratios):.2f} | {median(costs):.2f} |")


def compare(options, chats, home):
    if options.grammar:
        server = hearth(options, home, chats)
        schema = {"response_format": {"type": "json_schema", "json_schema": {"name": "list", "schema": SCHEMA}}}
        sides = [(server, schema), (server, {})]
    else:
        sides = [(hearth(options, home, chats), {}), (llama_server(options, chats), {})]
    servers = list(dict.fromkeys(server for server, _ in sides))
    try:
        for server in servers:
            server.wait()
        pairs = []
        for number in range(options.rounds + 1):
            # Prompts differ from round to round, so that none is cached.
            pair = [load(server, chats, options.tokens, f"{number} {index}", more)
                    for index, (server, more) in enumerate(sides)]
            if number > 0:
                pairs.append(pair)
                print(f"{chats} chats, round {number}: {pair}", file=sys.stderr)
        return pairs
    finally:
        for server in servers:
            server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--llama-server", help="the program to compare with")
    parser.add_argument("--hearth", default=str(HEARTH), help="the program to measure")
    parser.add_argument("--grammar", action="store_true", help="a JSON schema beside free text")
    parser.add_argument("--parallel", type=int, nargs="+", default=[1, 8, 16])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if not options.grammar and not options.llama_server:
        parser.error("--llama-server or --grammar is needed")
    names = ("schema", "free text") if options.grammar else ("hearth", "llama-server")
    print(f"{options.model}, {options.threads} threads, {options.tokens} tokens per chat, {options.rounds} rounds\n")
    print(f"| chats | {names[0]} tok/s | {names[1]} tok/s | ratio | range | ratio by processor time |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as home:
        for chats in options.parallel:
            print(rows(names, compare(options, chats, home), chats), flush=True)


if __name__ == "__main__":
    main()
