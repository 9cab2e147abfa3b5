#!/usr/bin/env python3
"""hearth's server under load: many clients, clients that leave, chats beside batch work, connections that rest.

    cargo build --release -p hearth
    bench/load.py PROGRAM [--minutes 10] [--clients 256] [--active 64] [--disconnects 1000] [--idle 10000]
    bench/load.py PROGRAM --only load,disconnects,first-token,idle

PROGRAM is started on a free port with a store of its own and the built-in model; its memory is read each second from
/proc. Prints a line for each figure and whether it is within its limit; ends with 1 if one is not. Python 3.11, Linux.
"""

import argparse
import asyncio
import collections
import json
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time

PROMPTS = ["To be, or not to be", "Now is the winter", "Shall I compare thee", "All the world", "O Romeo", "Once more unto"]
# 429 and 503 say when to come back: they are answers, and counted apart.
BUSY = ("429", "503")


class Server:
    """The program, and what it says of itself."""

    def __init__(self, program, *more):
        self.folder = tempfile.TemporaryDirectory()
        home = self.folder.name
        environment = dict(os.environ, HOME=home, HEARTH_MODELS=home + "/models", HEARTH_LOG="error")
        command = [program, "serve", "--listen", "127.0.0.1:0", "--ctx", "512", *more]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        address = self.process.stdout.readline().strip().removeprefix("listening on ")
        self.host, port = address.rsplit(":", 1)
        self.port = int(port)

    def memory(self):
        with open(f"/proc/{self.process.pid}/status") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1]) * 1024

    async def open(self):
        return await asyncio.open_connection(self.host, self.port)

    async def metrics(self):
        reader, writer = await self.open()
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        text = (await reader.read()).decode()
        writer.close()
        return text

    async def rest(self, seconds=20):
        """Waits until nothing runs; gives what does not rest."""
        left = {}
        for _ in range(seconds * 10):
            text = await self.metrics()
            rows = re.findall(r"^(\w+)(?:\{.*\})? (\d+)", text, re.M)
            found = collections.defaultdict(int)
            for name, value in rows:
                found[name] += int(value)
            # This question is a request that runs, and a connection.
            left = {
                "running": found["hearth_requests_in_flight"] - 1,
                "waiting": found["hearth_queue_length"],
                "texts": found["hearth_texts_running"],
                "pages": found["hearth_cache_pages_used"] - found["hearth_cache_pages_kept"],
                "connections": found["hearth_connections"] - 1,
            }
            if not any(left.values()):
                break
            await asyncio.sleep(0.1)
        return left

    def stop(self):
        self.process.terminate()
        self.process.wait()


def request(tokens, prompt, stream=True, batch=False):
    body = {"model": "bard", "stream": stream, "max_tokens": tokens, "messages": [{"role": "user", "content": prompt}],
            "ignore_eos": True}
    if batch:
        body["service_tier"] = "flex"
    text = json.dumps(body)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
    return (head + text).encode()


async def chunks(reader):
    """The pieces of a chunked body."""
    while True:
        size = int(await reader.readline(), 16)
        piece = await reader.readexactly(size + 2)
        if size == 0:
            return
        yield piece[:-2]


async def ask(connection, body):
    """Sends a request; gives the status, and the seconds to the first token and to the end."""
    reader, writer = connection
    begin = time.perf_counter()
    writer.write(body)
    await writer.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    status = head.split(" ", 2)[1]
    if "chunked" not in head.lower():
        length = int(re.search(r"content-length: (\d+)", head, re.I)[1])
        text = await reader.readexactly(length)
        return status if status != "200" else "error" if b'"error"' in text else "200", None, time.perf_counter() - begin
    first, said = None, b""
    async for piece in chunks(reader):
        if first is None and b'"content":"' in piece and b'"content":""' not in piece:
            first = time.perf_counter() - begin
        said = piece
        if b'"error":' in piece:
            status = "error in the stream"
    if b"[DONE]" not in said and status == "200":
        status = "no end"
    return status, first, time.perf_counter() - begin


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


class Report:
    """Lines, and whether all of them are within their limits."""

    def __init__(self):
        self.good = True

    def line(self, name, value, within=None):
        mark = "" if within is None else " ok" if within else " OVER THE LIMIT"
        self.good &= within is not False
        print(f"{name}: {value}{mark}", flush=True)


async def load(server, options, report):
    """Connected clients, of which so many stream at a time."""
    outcomes, firsts, memory, tokens = collections.Counter(), [], [], 0
    end = time.monotonic() + options.minutes * 60
    places = asyncio.Semaphore(options.active)
    chance = random.Random(6)

    async def client(number):
        connection = await server.open()
        while time.monotonic() < end:
            async with places:
                if time.monotonic() >= end:
                    break
                length = chance.randrange(16, 128)
                prompt = chance.choice(PROMPTS) + f" {number}" + " and then" * chance.randrange(20)
                try:
                    status, first, _ = await asyncio.wait_for(ask(connection, request(length, prompt)), 120)
                except Exception as error:  # Whatever it is, it is what this counts.
                    status, first = type(error).__name__, None
                    connection[1].close()
                    connection = await server.open()
                outcomes[status] += 1
                nonlocal tokens
                tokens += length if status == "200" else 0
                if first is not None:
                    firsts.append(first)
            await asyncio.sleep(0)
        connection[1].close()

    async def sample():
        while time.monotonic() < end:
            memory.append(server.memory())
            await asyncio.sleep(1)

    await asyncio.gather(sample(), *(client(number) for number in range(options.clients)))
    errors = sum(count for status, count in outcomes.items() if status not in ("200", *BUSY))
    report.line("requests", dict(outcomes))
    report.line("errors other than 429 and 503", errors, errors == 0)
    report.line("tokens per second", round(tokens / (options.minutes * 60)))
    report.line("first token, p50 and p99", f"{percentile(firsts, 0.5):.3f} s, {percentile(firsts, 0.99):.3f} s")
    half = memory[len(memory) // 2:]
    fifth = max(1, len(half) // 5)
    growth = statistics.median(half[-fifth:]) / statistics.median(half[:fifth]) - 1
    report.line("memory", f"{memory[0] >> 20} MiB at first, {half[0] >> 20} MiB at half, {memory[-1] >> 20} MiB at the end")
    report.line("growth in the last half", f"{growth:.2%}", growth < 0.01)
    left = await server.rest()
    report.line("left afterwards", left, not any(left.values()))


async def disconnects(server, options, report):
    """Clients that leave at random moments: in the prompt, in the answer, before anything."""
    chance = random.Random(7)
    places = asyncio.Semaphore(options.active)

    async def leave(number):
        async with places:
            reader, writer = await server.open()
            stream = chance.random() < 0.7
            writer.write(request(400, chance.choice(PROMPTS) + f" {number}" + " and then" * chance.randrange(150), stream))
            await writer.drain()
            try:
                await asyncio.wait_for(reader.read(-1), chance.random() ** 3 * 2)
            except asyncio.TimeoutError:
                pass
            if chance.random() < 0.5:
                writer.transport.abort()
            else:
                writer.close()

    await asyncio.gather(*(leave(number) for number in range(options.disconnects)))
    left = await server.rest()
    report.line(f"left after {options.disconnects} disconnects", left, not any(left.values()))
    connection = await server.open()
    status, _, _ = await ask(connection, request(8, PROMPTS[0]))
    connection[1].close()
    report.line("a request afterwards", status, status == "200")


async def first_token(server, options, report):
    """The time to the first token of chats, alone and beside batch work that fills everything."""

    async def chats(count):
        firsts = []
        connection = await server.open()
        for number in range(count):
            prompt = f"{number} " + " and then" * 40
            status, first, _ = await ask(connection, request(16, prompt))
            if status == "200" and first is not None:
                firsts.append(first)
            await asyncio.sleep(0.05)
        connection[1].close()
        return firsts

    stop = asyncio.Event()

    async def batch(number):
        connection = await server.open()
        turn = 0
        while not stop.is_set():
            turn += 1
            prompt = f"{number} {turn} " + " and then" * 80
            await ask(connection, request(200, prompt, stream=False, batch=True))
        connection[1].close()

    await chats(20)
    alone = await chats(options.chats)
    workers = [asyncio.create_task(batch(number)) for number in range(32)]
    await asyncio.sleep(2)
    beside = await chats(options.chats)
    stop.set()
    await asyncio.gather(*workers)
    for name, firsts in (("alone", alone), ("beside batch work", beside)):
        report.line(f"first token of {len(firsts)} chats {name}, p50 and p99",
                    f"{percentile(firsts, 0.5) * 1e3:.1f} ms, {percentile(firsts, 0.99) * 1e3:.1f} ms")
    ratio = percentile(beside, 0.99) / percentile(alone, 0.99)
    report.line("p99 beside batch work over p99 alone", f"{ratio:.2f}", ratio <= 1.2)


async def idle(server, options, report):
    """Connections that asked once and rest."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(options.idle, hard - 100)
    before = server.memory()
    connections = []
    for _ in range(count):
        reader, writer = await server.open()
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        connections.append((reader, writer))
    after = server.memory()
    for _, writer in connections:
        writer.transport.abort()
    report.line(f"{count} resting connections", f"{(after - before) / 1e6:.1f} MB, {(after - before) // count} bytes each; "
                f"the server has {after / 1e6:.1f} MB", after < 200e6 and count == options.idle)


async def main():
    parts = {"idle": idle, "first-token": first_token, "load": load, "disconnects": disconnects}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--only", default=",".join(parts), help="which of " + ", ".join(parts))
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=256)
    parser.add_argument("--active", type=int, default=64)
    parser.add_argument("--disconnects", type=int, default=1000)
    parser.add_argument("--chats", type=int, default=200)
    parser.add_argument("--idle", type=int, default=10000)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    report = Report()
    for name in options.only.split(","):
        print(f"== {name}", flush=True)
        server = Server(options.program)
        try:
            await parts[name](server, options, report)
        finally:
            server.stop()
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
