"""langchain-openai."""

import openai
import pydantic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from checks import (
    FINE,
    HELLO,
    MODEL,
    SERVER,
    contains,
    encoder,
    equal,
    http,
    main,
    refused,
    slot_is_free,
    slot_is_taken,
)

SETTINGS = {"model": MODEL, "base_url": SERVER + "/v1", "api_key": "any", "max_retries": 0, "timeout": 60}
chat = ChatOpenAI(**SETTINGS)


class Weather(pydantic.BaseModel):
    """The weather of a city"""

    city: str


@tool
def get_weather(city: str) -> str:
    """The weather of a city"""
    return f"sunny in {city}"


def c028_invoke():
    answer = chat.invoke("hi")
    equal((answer.content, answer.response_metadata["finish_reason"]), (HELLO, "stop"))
    assert answer.usage_metadata["total_tokens"] > 0


def c029_stream():
    chunks = list(ChatOpenAI(**SETTINGS, stream_usage=True).stream("hi"))
    equal("".join(chunk.content for chunk in chunks), HELLO)
    assert any(chunk.usage_metadata for chunk in chunks), "expected usage in the stream"


def c119_structured():
    for method in ("json_schema", "function_calling", "json_mode"):
        found = chat.with_structured_output(Weather, method=method).invoke("JSON of a city")
        equal((method, found), (method, Weather(city="Oslo")))


def c120_any_tool():
    equal(chat.bind_tools([get_weather], tool_choice="any").invoke("hi").tool_calls[0]["args"], {"city": "Oslo"})


def c037_tool_loop():
    bound = chat.bind_tools([get_weather])
    question = HumanMessage("hi")
    answer = bound.invoke([question])
    call = answer.tool_calls[0]
    equal((call["name"], call["args"]), ("get_weather", {"city": "Oslo"}))
    result = ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])
    equal(bound.invoke([question, answer, result]).content, FINE)


def c121_responses():
    responses = ChatOpenAI(**SETTINGS, use_responses_api=True)
    equal(responses.invoke("hi").text, HELLO)
    equal("".join(chunk.text for chunk in responses.stream("hi")), HELLO)
    equal(responses.with_structured_output(Weather).invoke("hi"), Weather(city="Oslo"))


def c122_max_tokens():
    answer = ChatOpenAI(**SETTINGS, max_tokens=5).invoke("something endless")
    equal((answer.usage_metadata["output_tokens"], answer.response_metadata["finish_reason"]), (5, "length"))


def c123_embeddings():
    settings = {**SETTINGS, "model": encoder(), "check_embedding_ctx_length": False}
    equal(len(OpenAIEmbeddings(**settings).embed_documents(["red", "green"])), 2)
    # What the package sends by default: ids of another vocabulary, in place of text.
    status, _, body = http("/v1/embeddings", {"model": encoder(), "input": [[40, 50]], "encoding_format": "base64"})
    if status != 200:
        equal(status, 400)
        contains(body, "text")


def c043_unknown_model():
    with refused(openai.NotFoundError, "no-such-model"):
        ChatOpenAI(**{**SETTINGS, "model": "no-such-model"}).invoke("hi")


def c020_close_frees_the_slot():
    chunks = chat.stream("something endless")
    next(chunks)
    slot_is_taken()
    chunks.close()
    slot_is_free()
    equal(chat.invoke("hi").content, HELLO)


if __name__ == "__main__":
    main()
