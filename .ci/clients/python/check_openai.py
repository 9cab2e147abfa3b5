"""The openai package."""

import enum
import json

import openai
import pydantic

from checks import (
    CONTEXT,
    ENCODER,
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
    main,
    refused,
    slot_is_free,
    slot_is_taken,
)

client = openai.OpenAI(base_url=SERVER + "/v1", api_key="any", max_retries=0, timeout=60)
chat = client.chat.completions
HI = [{"role": "user", "content": "hi"}]
ENDLESS = [{"role": "user", "content": "something endless"}]


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


class Item(pydantic.BaseModel):
    name: str
    colour: Colour


class Basket(pydantic.BaseModel):
    owner: str
    best: Item
    items: list[Item]


class Weather(pydantic.BaseModel):
    """The weather of a city"""

    city: str


def c027_models_list():
    found = client.models.list()
    equal(found.object, "list")
    ids = [model.id for model in found]
    assert any(name.split(":")[0] == MODEL for name in ids), f"expected {MODEL}, found {ids}"
    equal(client.models.retrieve(ids[0]).id, ids[0])


def c016_models_retrieve_with_a_slash():
    with refused(openai.NotFoundError, "org/none:tag"):
        client.models.retrieve("org/none:tag")


def c028_create_returns_text():
    answer = chat.create(model=MODEL, messages=HI)
    choice = answer.choices[0]
    equal((choice.message.content, choice.message.role, choice.finish_reason), (HELLO, "assistant", "stop"))
    equal(answer.object, "chat.completion")
    usage = answer.usage
    assert usage.prompt_tokens > 0 and usage.completion_tokens > 0
    equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)


def c028_bard_returns_text():
    answer = chat.create(model=PLAIN, messages=HI, max_tokens=8)
    assert answer.choices[0].message.content and answer.usage.completion_tokens <= 8, answer


def c029_stream():
    chunks = list(chat.create(model=MODEL, messages=HI, stream=True))
    equal(chunks[0].choices[0].delta.role, "assistant")
    equal("".join(chunk.choices[0].delta.content or "" for chunk in chunks), HELLO)
    equal([chunk.choices[0].finish_reason for chunk in chunks], [None] * (len(chunks) - 1) + ["stop"])
    assert all(chunk.object == "chat.completion.chunk" for chunk in chunks)


def c030_stream_with_usage():
    chunks = list(chat.create(model=MODEL, messages=HI, stream=True, stream_options={"include_usage": True}))
    equal((chunks[-1].choices, chunks[-1].usage.completion_tokens > 0), ([], True))
    assert not any(chunk.usage for chunk in chunks[:-1])
    assert not any(chunk.usage for chunk in chat.create(model=MODEL, messages=HI, stream=True))


def c031_parse_nested():
    message = chat.parse(model=MODEL, messages=HI, response_format=Basket).choices[0].message
    assert isinstance(message.parsed, Basket), message


def c032_parse_tool():
    tool = openai.pydantic_function_tool(Weather, name="get_weather")
    answer = chat.parse(model=MODEL, messages=HI, tools=[tool])
    equal(answer.choices[0].message.tool_calls[0].function.parsed_arguments, Weather(city="Oslo"))


def c033_stream_parsed():
    with chat.stream(model=MODEL, messages=HI, response_format=Weather) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    contains(kinds, "content.done")
    equal(final.choices[0].message.parsed, Weather(city="Oslo"))


def c034_stream_tool():
    with chat.stream(
        model=MODEL, messages=HI, tools=[openai.pydantic_function_tool(Weather, name="get_weather")]
    ) as it:
        done = [event for event in it if event.type == "tool_calls.function.arguments.done"]
    equal([(event.name, event.parsed_arguments) for event in done], [("get_weather", Weather(city="Oslo"))])


def c035_tool_choice():
    other = {"type": "function", "function": {"name": "other", "parameters": {"type": "object", "properties": {}}}}
    named = {"type": "function", "function": {"name": "other"}}
    for choice, name in [("auto", "get_weather"), ("required", "get_weather"), (named, "other"), ("none", None)]:
        answer = chat.create(model=MODEL, messages=HI, tools=[WEATHER, other], tool_choice=choice).choices[0]
        calls = answer.message.tool_calls or []
        equal((choice, [call.function.name for call in calls]), (choice, [name] if name else []))
        if name:
            json.loads(calls[0].function.arguments)
            assert calls[0].id and calls[0].type == "function", calls
    equal(answer.message.content, HELLO)


def c036_one_call_at_most():
    answer = chat.create(model=MODEL, messages=HI, tools=[WEATHER], parallel_tool_calls=False, tool_choice="required")
    equal(len(answer.choices[0].message.tool_calls), 1)


def c037_tool_loop():
    first = chat.create(model=MODEL, messages=HI, tools=[WEATHER]).choices[0]
    equal(first.finish_reason, "tool_calls")
    call = first.message.tool_calls[0]
    equal((call.function.name, json.loads(call.function.arguments)), ("get_weather", {"city": "Oslo"}))
    replay = {"role": "assistant", "content": None, "tool_calls": [call.model_dump()]}
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    second = chat.create(model=MODEL, messages=[*HI, replay, result], tools=[WEATHER]).choices[0]
    equal((second.message.content, second.finish_reason), (FINE, "stop"))


def c056_streamed_calls():
    chunks = list(chat.create(model=MODEL, messages=HI, tools=[WEATHER], stream=True))
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    equal(
        (calls[0].index, calls[0].type, calls[0].function.name, bool(calls[0].id)), (0, "function", "get_weather", True)
    )
    equal(json.loads("".join(call.function.arguments or "" for call in calls)), {"city": "Oslo"})
    equal(chunks[-1].choices[0].finish_reason, "tool_calls")
    equal("".join(chunk.choices[0].delta.content or "" for chunk in chunks), "")


def c038_embeddings_base64():
    default = client.embeddings.create(model=encoder(), input="hello").data[0].embedding
    floats = client.embeddings.create(model=ENCODER, input="hello", encoding_format="float").data[0].embedding
    assert len(default) == len(floats) > 0
    assert max(abs(a - b) for a, b in zip(default, floats)) < 1e-6, (default[:4], floats[:4])


def c039_embeddings_shapes():
    for given, count in [("a", 1), (["a", "b"], 2), ([5, 6], 1), ([[5], [6, 7]], 2)]:
        try:
            answer = client.embeddings.create(model=encoder(), input=given)
        except openai.BadRequestError as error:
            assert isinstance(given, list) and not isinstance(given[0], str), error
            contains(str(error), "text")
        else:
            equal((given, [item.index for item in answer.data]), (given, list(range(count))))


def c040_responses():
    answer = client.responses.create(model=MODEL, input="hi")
    equal((answer.output_text, answer.status), (HELLO, "completed"))
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens > 0
    equal(client.responses.parse(model=MODEL, input="hi", text_format=Weather).output_parsed, Weather(city="Oslo"))
    with client.responses.stream(model=MODEL, input="hi") as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    equal((text, final.output_text), (HELLO, HELLO))


def c041_responses_tool_loop():
    tool = {"type": "function", **WEATHER["function"]}
    question = [{"role": "user", "content": "hi"}]
    first = client.responses.create(model=MODEL, input=question, tools=[tool])
    call = next(item for item in first.output if item.type == "function_call")
    equal((call.name, json.loads(call.arguments), bool(call.call_id)), ("get_weather", {"city": "Oslo"}, True))
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    replay = [item.model_dump(exclude_none=True) for item in first.output]
    equal(client.responses.create(model=MODEL, input=[*question, *replay, result], tools=[tool]).output_text, FINE)


def c042_limits():
    for limit in ({"max_tokens": 5}, {"max_completion_tokens": 5}):
        answer = chat.create(model=MODEL, messages=ENDLESS, **limit)
        equal((answer.choices[0].finish_reason, answer.usage.completion_tokens), ("length", 5))


def c043_unknown_model():
    try:
        chat.create(model="no-such-model", messages=HI)
    except openai.NotFoundError as error:
        equal(error.code, "model_not_found")
        contains(str(error), "no-such-model")
    else:
        raise AssertionError("expected NotFoundError")


def c044_too_long():
    try:
        chat.create(model=MODEL, messages=[{"role": "user", "content": "x" * (CONTEXT + 100)}])
    except openai.BadRequestError as error:
        equal(error.code, "context_length_exceeded")
    else:
        raise AssertionError("expected BadRequestError")


def c047_logprobs():
    answer = chat.create(model=MODEL, messages=HI, logprobs=True, top_logprobs=2)
    found = answer.choices[0].logprobs.content
    equal((found[0].token, len(found[0].top_logprobs)), ("Hello", 2))
    chunks = list(chat.create(model=MODEL, messages=HI, logprobs=True, top_logprobs=2, stream=True))
    streamed = [one for chunk in chunks if chunk.choices[0].logprobs for one in chunk.choices[0].logprobs.content or []]
    equal([one.token for one in streamed], [one.token for one in found])


def c048_choices():
    try:
        equal([choice.index for choice in chat.create(model=MODEL, messages=HI, n=2).choices], [0, 1])
    except openai.BadRequestError as error:
        contains(str(error), "n")


def c049_seed():
    once = lambda: (
        chat.create(model=PLAIN, messages=HI, temperature=0, seed=7, max_tokens=12).choices[0].message.content
    )
    equal(once(), once())


def c050_stop():
    for stop in ("there", ["fine", " there"]):
        answer = chat.create(model=MODEL, messages=HI, stop=stop).choices[0]
        equal((answer.message.content.strip(), answer.finish_reason), ("Hello", "stop"))


def c152_reasoning():
    answer = chat.create(model=MODEL, messages=HI, reasoning_effort="high").choices[0].message
    fields = answer.model_extra or {}
    equal((answer.content, fields.get("reasoning_content") or fields.get("reasoning")), (HELLO, THOUGHT))


def c164_developer():
    messages = [{"role": "developer", "content": "something"}, *HI]
    equal(chat.create(model=MODEL, messages=messages).choices[0].message.content, HELLO)


def c020_close_frees_the_slot():
    stream = chat.create(model=MODEL, messages=ENDLESS, stream=True)
    next(iter(stream))
    slot_is_taken()
    stream.close()
    slot_is_free()
    c028_create_returns_text()


def c028_completions():
    answer = client.completions.create(model=MODEL, prompt="<|say|>")
    equal((answer.choices[0].text, answer.choices[0].finish_reason), (HELLO, "stop"))


if __name__ == "__main__":
    main()
