"""Runs the checks of one client: the functions of the main module whose names begin with `c` and the numbers of the
checklist that they stand for. Each outcome is one line of JSON on standard output."""

import contextlib
import json
import os
import re
import sys
import time
import traceback
import urllib.error
import urllib.request

SERVER = os.environ["HEARTH_URL"]
MODEL = "scripted"
CONTEXT = 16384
# A model that cannot think, call tools, or be foreseen.
PLAIN = "bard"
# A model that makes vectors; empty where there is none.
ENCODER = os.environ.get("HEARTH_ENCODER", "")

HELLO = "Hello there!"
FINE = "The weather is fine."
THOUGHT = "I should greet."
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


class Skipped(Exception):
    """The check cannot run here; the text says why."""


def encoder():
    """The name of the model that makes vectors."""
    if not ENCODER:
        raise Skipped("no encoder model")
    return ENCODER


def equal(found, expected):
    """Fails with both values."""
    assert found == expected, f"expected {expected!r}, found {found!r}"


def contains(found, part):
    """Fails with both texts."""
    assert part in found, f"expected {part!r} in {found!r}"


@contextlib.contextmanager
def refused(kind, *words, status=None):
    """The block has to raise `kind`, with all `words` in its text, case aside, and that status."""
    try:
        yield
    except kind as error:
        text = str(error).lower()
        for word in words:
            assert word.lower() in text, f"expected {word!r} in {type(error).__name__}: {error}"
        if status is not None:
            equal(error.status_code, status)
    else:
        raise AssertionError(f"expected {kind}, found an answer")


def http(path, body=None, headers=(), method=None):
    """A plain request: status, headers, text."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(SERVER + path, data, dict(headers), method=method)
    if data is not None and not request.has_header("Content-type"):
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers, answer.read().decode()


def running():
    """Requests under way, this one aside."""
    text = http("/metrics")[2]
    found = re.search(r"^hearth_requests_in_flight (\d+)", text, re.M)
    assert found, f"expected hearth_requests_in_flight in /metrics, found {text[:300]!r}"
    return int(found.group(1)) - 1


def slot_is_taken():
    """An answer is under way; without this, that the slot is free later would say nothing."""
    equal(running(), 1)


def slot_is_free(seconds=1.5):
    """Nothing runs soon after a client went away. An endless answer fills the context only later than that."""
    end = time.monotonic() + seconds
    while (left := running()) > 0:
        assert time.monotonic() < end, f"expected the slot to be free, found {left} requests running {seconds} s later"
        time.sleep(0.02)


def main():
    """Runs the checks whose names begin with one of the arguments, or all."""
    wanted = tuple(sys.argv[1:])
    module = sys.modules["__main__"]
    checks = [(name, check) for name, check in vars(module).items() if re.match(r"c\d", name)]
    failures = 0
    for name, check in checks:
        if wanted and not name.startswith(wanted):
            continue
        begin, outcome, why = time.time(), "passed", ""
        try:
            check()
        except Skipped as reason:
            outcome, why = "skipped", str(reason)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            outcome, why = "failed", describe(error)
            failures += 1
        line = {"check": name, "outcome": outcome, "why": why, "begin": begin, "end": time.time()}
        print(json.dumps(line), flush=True)
    sys.exit(failures > 0)


def describe(error):
    """What went wrong, and the line of the check."""
    here = os.path.dirname(os.path.abspath(__file__))
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if os.path.dirname(frame.filename) == here and frame.filename != os.path.abspath(__file__)
    ]
    where = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno} `{frames[-1].line}`: " if frames else ""
    return f"{where}{type(error).__name__}: {str(error)[:1500]}"
