"""The ollama package."""

import datetime
import hashlib
import json
import os
import tempfile

import ollama

from checks import (
    CONTEXT,
    FINE,
    HELLO,
    MODEL,
    PLAIN,
    SERVER,
    THOUGHT,
    WEATHER,
    contains,
    encoder,
    equal,
    http,
    main,
    refused,
    slot_is_free,
    slot_is_taken,
)

client = ollama.Client(host=SERVER, timeout=60)
HI = [{"role": "user", "content": "hi"}]
ENDLESS = [{"role": "user", "content": "something endless"}]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "warm": {"type": "boolean"}},
    "required": ["city", "warm"],
}


def get_weather(city: str) -> str:
    """The weather of a city

    Args:
        city: which one
    """
    return f"sunny in {city}"


def names():
    return [model.model for model in client.list().models]


def c080_chat():
    answer = client.chat(MODEL, HI)
    equal(
        (answer.message.content, answer.message.role, answer.done, answer.done_reason),
        (HELLO, "assistant", True, "stop"),
    )
    assert answer.prompt_eval_count > 0 and answer.eval_count > 0 and answer.total_duration > 0
    assert client.chat(PLAIN, HI, options={"num_predict": 6}).message.content


def c081_stream():
    frames = list(client.chat(MODEL, HI, stream=True))
    equal("".join(frame.message.content or "" for frame in frames), HELLO)
    equal([frame.message.role for frame in frames], ["assistant"] * len(frames))
    equal([frame.done for frame in frames], [False] * (len(frames) - 1) + [True])
    assert frames[-1].eval_count > 0


def c082_format():
    found = json.loads(client.chat(MODEL, HI, format=SCHEMA).message.content)
    equal((sorted(found), type(found["city"]), type(found["warm"])), (["city", "warm"], str, bool))
    equal(json.loads(client.chat(MODEL, HI, format="json").message.content), {"city": "Oslo"})
    equal(client.chat(MODEL, HI, format="").message.content, HELLO)


def c083_c084_tool_loop():
    answer = client.chat(MODEL, HI, tools=[get_weather])
    call = answer.message.tool_calls[0]
    equal((call.function.name, call.function.arguments), ("get_weather", {"city": "Oslo"}))
    result = {"role": "tool", "content": get_weather(**call.function.arguments), "tool_name": call.function.name}
    second = client.chat(MODEL, [*HI, answer.message, result], tools=[get_weather])
    equal((second.message.content, second.message.tool_calls), (FINE, None))


def c083_streamed_call():
    frames = list(client.chat(MODEL, HI, tools=[WEATHER], stream=True))
    calls = [call.function.arguments for frame in frames for call in frame.message.tool_calls or []]
    equal(calls, [{"city": "Oslo"}])
    equal("".join(frame.message.content or "" for frame in frames), "")


def c085_result_without_name():
    call = {"role": "assistant", "tool_calls": [{"function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}]}
    equal(client.chat(MODEL, [*HI, call, {"role": "tool", "content": "sunny"}], tools=[WEATHER]).message.content, FINE)


def c086_think():
    for think in (True, "high"):
        message = client.chat(MODEL, HI, think=think).message
        equal((think, message.thinking, message.content), (think, THOUGHT, HELLO))
    frames = list(client.chat(MODEL, HI, think=True, stream=True))
    equal("".join(frame.message.thinking or "" for frame in frames), THOUGHT)
    equal("".join(frame.message.content or "" for frame in frames), HELLO)


def c087_think_without_thinking():
    with refused(ollama.ResponseError, "think", status=400):
        client.chat(PLAIN, HI, think=True)
    assert client.chat(PLAIN, HI, think=False, options={"num_predict": 4}).done
    equal(client.chat(MODEL, HI, think=False).message.content, HELLO)


def c088_load():
    answer = client.generate(MODEL)
    equal((answer.done, answer.response, answer.done_reason), (True, "", "load"))


def c089_c096_unload():
    client.generate(MODEL, keep_alive="5m")
    loaded = next(model for model in client.ps().models if model.model.split(":")[0] == MODEL)
    assert loaded.expires_at > datetime.datetime.now(datetime.timezone.utc), loaded
    equal((loaded.size_vram is not None, (loaded.context_length or 0) > 0), (True, True))
    equal(client.generate(MODEL, keep_alive=0).done_reason, "unload")
    assert all(model.model.split(":")[0] != MODEL for model in client.ps().models), client.ps()


def c090_keep_alive():
    for time in ("5m", 300, "-1", -1, 0):
        equal((time, client.chat(MODEL, HI, keep_alive=time).message.content), (time, HELLO))


def c091_suffix():
    with refused(ollama.ResponseError, "insert", status=400):
        client.generate(MODEL, "a", suffix="b")


def c028_generate():
    answer = client.generate(MODEL, "hi")
    equal((answer.response, answer.done, answer.done_reason), (HELLO, True, "stop"))
    equal("".join(frame.response for frame in client.generate(MODEL, "hi", stream=True)), HELLO)


def c092_raw():
    # Behind the template, any prompt is greeted; as it is, this one tells of the weather.
    equal(client.generate(MODEL, "<|tell|>", raw=True).response, FINE)


def c093_options():
    options = {"no_such_option": 1, "temperature": None, "top_k": None, "tfs_z": 1.0, "seed": 3}
    status, _, body = http("/api/chat", {"model": MODEL, "messages": HI, "stream": False, "options": options})
    equal((status, json.loads(body)["message"]["content"]), (200, HELLO))


def c042_length():
    answer = client.chat(MODEL, ENDLESS, options={"num_predict": 5})
    equal((answer.done_reason, answer.eval_count), ("length", 5))


def c050_stop():
    equal(client.chat(MODEL, HI, options={"stop": [" there"]}).message.content, "Hello")


def c094_embed():
    many = client.embed(encoder(), ["red", "green", "blue"]).embeddings
    equal(len(many), 3)
    alone = client.embed(encoder(), "green").embeddings[0]
    assert max(abs(a - b) for a, b in zip(alone, many[1])) < 1e-3
    equal(len(client.embeddings(encoder(), "green").embedding), len(alone))


def c095_list():
    model = next(model for model in client.list().models if model.model.split(":")[0] == MODEL)
    equal((model.modified_at.tzinfo is not None, len(model.digest) >= 12, model.size > 0), (True, True, True))
    equal(model.details.family, "llama")


def c097_show():
    shown = client.show(MODEL)
    equal((shown.modelinfo["general.architecture"], shown.modelinfo["llama.context_length"]), ("llama", CONTEXT))
    equal(sorted(shown.capabilities), ["completion", "thinking", "tools"])
    contains(shown.template, "tools")
    equal(shown.details.family, "llama")
    for line in filter(None, (shown.parameters or "").split("\n")):
        assert len(line.split(None, 1)) == 2, f"expected key and value, found {line!r}"


def c099_failing_pull():
    with refused(ollama.ResponseError):
        for _ in client.pull("127.0.0.1:1/library/none", stream=True, insecure=True):
            pass
    status, _, body = http("/api/pull", {"model": "127.0.0.1:1/library/none", "insecure": True})
    equal(status, 200)
    assert isinstance(json.loads(body.strip().splitlines()[-1]).get("error"), str), body


def c100_copy_and_delete():
    client.copy(MODEL, "another")
    equal(client.chat("another", HI).message.content, HELLO)
    equal(http("/api/copy", {"source": "another", "destination": "third"})[::2], (200, ""))
    client.delete("another")
    equal(http("/api/delete", {"model": "third"}, method="DELETE")[::2], (200, ""))
    assert not {"another:latest", "third:latest"} & set(names()), names()
    with refused(ollama.ResponseError, "another", status=404):
        client.delete("another")
    with refused(ollama.ResponseError, "none", status=404):
        client.copy("none", "some")


def c101_create():
    with open(os.environ["HEARTH_SCRIPTED"], "rb") as file:
        content = file.read()
    # Not the file that the store has already.
    with tempfile.NamedTemporaryFile() as file:
        file.write(content + b"\0" * 32)
        file.flush()
        digest = client.create_blob(file.name)
    equal(digest, "sha256:" + hashlib.sha256(content + b"\0" * 32).hexdigest())
    equal(client.create("made", files={"made.gguf": digest}, parameters={"temperature": 0}).status, "success")
    equal(client.chat("made", HI).message.content, HELLO)
    statuses = [frame.status for frame in client.create("child", from_="made", system="be brief", stream=True)]
    equal(statuses[-1], "success")
    contains(client.show("child").modelfile, "be brief")
    for name in ("child", "made"):
        client.delete(name)


def c102_unknown_model():
    for call in (
        lambda: client.chat("no-such-model", HI),
        lambda: client.generate("no-such-model", "hi"),
        lambda: client.show("no-such-model"),
        lambda: client.embed("no-such-model", "hi"),
        lambda: list(client.chat("no-such-model", HI, stream=True)),
    ):
        with refused(ollama.ResponseError, "no-such-model", status=404):
            call()


def c103_errors_are_text():
    for path, body in [
        ("/api/chat", {"model": MODEL, "messages": 5}),
        ("/api/chat", b"{"),
        ("/api/none", {}),
        ("/api/show", {}),
        ("/api/generate", {"model": "no-such-model", "prompt": "a"}),
    ]:
        status, _, text = http(path, body)
        assert status >= 400 and isinstance(json.loads(text)["error"], str), (path, body, status, text)


def c020_close_frees_the_slot():
    frames = client.chat(MODEL, ENDLESS, stream=True)
    next(frames)
    slot_is_taken()
    frames.close()
    slot_is_free()
    c080_chat()


if __name__ == "__main__":
    main()
