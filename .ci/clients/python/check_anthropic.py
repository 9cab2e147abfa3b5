"""The anthropic package."""

import json

import anthropic
import pydantic

from checks import (
    FINE,
    HELLO,
    MODEL,
    SERVER,
    THOUGHT,
    WEATHER,
    contains,
    equal,
    http,
    main,
    refused,
    slot_is_free,
    slot_is_taken,
)

sent = []
record = anthropic.DefaultHttpxClient(
    event_hooks={"request": [lambda request: sent.append(json.loads(request.read()))]}
)
client = anthropic.Anthropic(base_url=SERVER, api_key="any", max_retries=0, timeout=60, http_client=record)
create = client.messages.create
HI = [{"role": "user", "content": "hi"}]
ENDLESS = [{"role": "user", "content": "something endless"}]
TOOL = {
    "name": "get_weather",
    "description": "The weather of a city",
    "input_schema": WEATHER["function"]["parameters"],
}
OTHER = {"name": "other", "input_schema": {"type": "object", "properties": {}}}
ASKED = {"model": MODEL, "max_tokens": 64, "messages": HI}


class Weather(pydantic.BaseModel):
    city: str


def text(answer):
    return "".join(block.text for block in answer.content if block.type == "text")


def c060_create():
    answer = create(**ASKED)
    equal((text(answer), answer.stop_reason, answer.role, answer.type), (HELLO, "end_turn", "assistant", "message"))
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0
    for headers in ({"x-api-key": "any", "anthropic-version": "2023-06-01"}, {}):
        status, _, body = http("/v1/messages", ASKED, headers)
        equal((status, json.loads(body)["content"]), (200, [{"type": "text", "text": HELLO}]))


def c061_system():
    equal(text(create(**ASKED, system="be brief")), HELLO)
    block = {"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}
    equal(text(create(**ASKED, system=[block])), HELLO)


def c062_event_lines():
    status, headers, body = http("/v1/messages?beta=true", {**ASKED, "stream": True})
    equal((status, headers.get_content_type()), (200, "text/event-stream"))
    frames = [frame.splitlines() for frame in body.strip().split("\n\n")]
    names = []
    for frame in frames:
        event, data = (line.split(": ", 1)[1] for line in frame[:2])
        equal(json.loads(data)["type"], event)
        names.append(event)
    equal((names[0], names[-2], names[-1]), ("message_start", "message_delta", "message_stop"))


def c063_stream():
    with client.messages.stream(**ASKED) as stream:
        streamed = "".join(stream.text_stream)
        final = stream.get_final_message()
    equal((streamed, text(final), final.stop_reason), (HELLO, HELLO, "end_turn"))
    assert final.usage.input_tokens > 0 and final.usage.output_tokens > 0


def c064_tool_use():
    answer = create(**ASKED, tools=[TOOL])
    call = answer.content[-1]
    equal(
        (answer.stop_reason, call.type, call.name, call.input),
        ("tool_use", "tool_use", "get_weather", {"city": "Oslo"}),
    )
    with client.messages.stream(**ASKED, tools=[TOOL]) as stream:
        parts = "".join(
            event.delta.partial_json
            for event in stream
            if event.type == "content_block_delta" and event.delta.type == "input_json_delta"
        )
        final = stream.get_final_message()
    equal(
        (json.loads(parts), final.content[-1].input, final.stop_reason),
        ({"city": "Oslo"}, {"city": "Oslo"}, "tool_use"),
    )


def c065_tool_choice():
    for choice, name in [
        ({"type": "any"}, "get_weather"),
        ({"type": "tool", "name": "other"}, "other"),
        ({"type": "any", "disable_parallel_tool_use": True}, "get_weather"),
        ({"type": "none"}, None),
    ]:
        answer = create(**ASKED, tools=[TOOL, OTHER], tool_choice=choice)
        calls = [block.name for block in answer.content if block.type == "tool_use"]
        equal((choice, calls), (choice, [name] if name else []))


def c066_tool_result():
    call = create(**ASKED, tools=[TOOL]).content[-1]
    results = [
        {"content": "sunny"},
        {"content": [{"type": "text", "text": "sunny"}]},
        {"content": "no", "is_error": True},
        {},
    ]
    for result in results:
        messages = [
            *HI,
            {"role": "assistant", "content": [call.model_dump()]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, **result}]},
        ]
        answer = create(**{**ASKED, "messages": messages}, tools=[TOOL])
        equal((result, text(answer), answer.stop_reason), (result, FINE, "end_turn"))


def c067_parse():
    equal(client.messages.parse(**ASKED, output_format=Weather).parsed_output, Weather(city="Oslo"))


def c068_thread_is_refused_by_name():
    status, _, body = http("/v1/messages", {**ASKED, "thread": {"type": "create"}})
    error = json.loads(body)["error"]
    equal(
        (status, error["type"], error.get("details", {}).get("error_code")),
        (400, "invalid_request_error", "thread_unsupported_request"),
    )


def c069_c070_tool_runner():
    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """The weather of a city

        Args:
            city: which one
        """
        return f"sunny in {city}"

    sent.clear()
    runner = client.beta.messages.tool_runner(**ASKED, tools=[get_weather])
    equal(text(runner.until_done()), FINE)
    last = sent[-1]
    equal((len(last["messages"]), bool(last.get("tools")), "thread" in last), (3, True, False))
    contains(json.dumps(last["messages"]), "sunny in Oslo")


def c071_count_tokens():
    for more in ({}, {"system": "be brief"}, {"tools": [TOOL]}):
        counted = client.messages.count_tokens(model=MODEL, messages=HI, **more).input_tokens
        usage = create(**ASKED, **more).usage
        read = usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
        equal((more, counted), (more, read))


def c072_unknown_model():
    with refused(anthropic.NotFoundError, "not_found_error", "no-such-model"):
        create(**{**ASKED, "model": "no-such-model"})


def c074_thinking():
    for thinking, thought in [
        ({"type": "adaptive"}, None),
        ({"type": "enabled", "budget_tokens": 1024}, THOUGHT),
        ({"type": "disabled"}, ""),
    ]:
        answer = create(**{**ASKED, "max_tokens": 2048}, thinking=thinking)
        found = "".join(block.thinking for block in answer.content if block.type == "thinking")
        equal((thinking, text(answer)), (thinking, HELLO))
        if thought is not None:
            equal((thinking, found), (thinking, thought))


def c074_thinking_streams():
    asked = {**ASKED, "max_tokens": 2048, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    with client.messages.stream(**asked) as stream:
        thought = "".join(
            event.delta.thinking
            for event in stream
            if event.type == "content_block_delta" and event.delta.type == "thinking_delta"
        )
        equal((thought, text(stream.get_final_message())), (THOUGHT, HELLO))


def c075_system_among_messages():
    with_note = [*HI, {"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
    status, _, body = http("/v1/messages", {**ASKED, "messages": with_note})
    equal((status, json.loads(body).get("content")), (200, [{"type": "text", "text": HELLO}]))
    counts = [
        json.loads(http("/v1/messages/count_tokens", {"model": MODEL, "messages": messages})[2])["input_tokens"]
        for messages in (with_note, [with_note[0], with_note[2]])
    ]
    assert counts[0] >= counts[1] + len("be brief"), f"expected the system's words in the prompt, found counts {counts}"


def c076_unknown_betas():
    equal(text(create(**ASKED, extra_headers={"anthropic-beta": "no-such-beta-2030-01-01,other"})), HELLO)


def c077_fields_without_effect():
    more = {
        "context_management": {"edits": []},
        "metadata": {"user_id": "me"},
        "output_config": {"effort": "high"},
        "service_tier": "auto",
    }
    equal(text(create(**ASKED, extra_body=more)), HELLO)


def c078_types_of_tools():
    answer = create(**ASKED, tools=[{"type": "custom", **TOOL}])
    equal(answer.content[-1].name, "get_weather")
    status, _, body = http(
        "/v1/messages", {**ASKED, "tools": [TOOL, {"type": "web_search_20250305", "name": "web_search"}]}
    )
    if status == 200:
        equal([block.get("name") for block in json.loads(body)["content"]], ["get_weather"])
    else:
        equal(status, 400)
        contains(body, "web_search")


def c050_c042_stop_and_length():
    answer = create(**ASKED, stop_sequences=[" there"])
    equal((text(answer), answer.stop_reason, answer.stop_sequence), ("Hello", "stop_sequence", " there"))
    answer = create(model=MODEL, max_tokens=5, messages=ENDLESS)
    equal((answer.stop_reason, answer.usage.output_tokens), ("max_tokens", 5))


def c013_malformed():
    status, _, body = http("/v1/messages", b'{"model": ')
    error = json.loads(body)
    equal((status, error["type"], error["error"]["type"]), (400, "error", "invalid_request_error"))


def c020_close_frees_the_slot():
    with client.messages.stream(model=MODEL, max_tokens=4000, messages=ENDLESS) as stream:
        next(iter(stream.text_stream))
        slot_is_taken()
    slot_is_free()
    c060_create()


if __name__ == "__main__":
    main()
