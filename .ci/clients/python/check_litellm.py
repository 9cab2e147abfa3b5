"""litellm."""

import json

import litellm

from checks import (
    CONTEXT,
    FINE,
    HELLO,
    MODEL,
    SERVER,
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

litellm.suppress_debug_info = True
HI = [{"role": "user", "content": "hi"}]
ENDLESS = [{"role": "user", "content": "something endless"}]
SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "weather", "strict": True, "schema": WEATHER["function"]["parameters"]},
}
# By prefix, the base address that its users write.
BASES = {
    "ollama_chat": SERVER,
    "ollama": SERVER,
    "openai": SERVER + "/v1",
    "hosted_vllm": SERVER + "/v1",
    "lm_studio": SERVER + "/v1",
    "llamafile": SERVER + "/v1",
    "anthropic": SERVER,
}


def complete(prefix, messages=HI, model=MODEL, **more):
    more = {"api_base": BASES[prefix], "api_key": "any", "num_retries": 0, "max_retries": 0, "timeout": 60, **more}
    return litellm.completion(f"{prefix}/{model}", messages, **more)


def text(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def c126_ollama_chat():
    answer = complete("ollama_chat")
    equal((answer.choices[0].message.content, answer.choices[0].finish_reason), (HELLO, "stop"))
    assert answer.usage.prompt_tokens > 0 and answer.usage.completion_tokens > 0


def c127_ollama_chat_streams():
    equal(text(complete("ollama_chat", stream=True)), HELLO)


def c128_model_info():
    status, _, body = http("/api/show", {"name": MODEL})
    equal((status, "tools" in json.loads(body)["template"]), (200, True))
    info = litellm.get_model_info(f"ollama_chat/{MODEL}", api_base=SERVER)
    equal((info["max_tokens"], info["supports_function_calling"]), (CONTEXT, True))


def c129_tool_loop():
    for prefix in ("ollama_chat", "openai", "hosted_vllm", "anthropic"):
        message = complete(prefix, tools=[WEATHER]).choices[0].message
        call = message.tool_calls[0]
        equal(
            (prefix, call.function.name, json.loads(call.function.arguments)), (prefix, "get_weather", {"city": "Oslo"})
        )
        result = {"role": "tool", "tool_call_id": call.id, "name": "get_weather", "content": "sunny"}
        second = complete(prefix, [*HI, message.model_dump(), result], tools=[WEATHER])
        equal((prefix, second.choices[0].message.content), (prefix, FINE))


def c131_ollama():
    found = complete("ollama", format="json").choices[0].message.content
    json.loads(found)
    equal(complete("ollama").choices[0].message.content, HELLO)


def c082_ollama_chat_schema():
    equal(json.loads(complete("ollama_chat", response_format=SCHEMA).choices[0].message.content), {"city": "Oslo"})


def c132_anthropic():
    equal(complete("anthropic").choices[0].message.content, HELLO)
    equal(text(complete("anthropic", stream=True)), HELLO)
    found = complete("anthropic", response_format=SCHEMA).choices[0].message.content
    equal(json.loads(found), {"city": "Oslo"})


def c133_v1():
    for prefix in ("openai", "hosted_vllm", "lm_studio", "llamafile"):
        equal((prefix, complete(prefix).choices[0].message.content), (prefix, HELLO))
        equal((prefix, text(complete(prefix, stream=True))), (prefix, HELLO))


def c134_models():
    found = litellm.get_valid_models(custom_llm_provider="ollama", check_provider_endpoint=True, api_base=SERVER)
    assert any(MODEL in name for name in found), found


def c135_base_with_v1():
    status, _, body = http("/v1/api/chat", {"model": MODEL, "messages": HI, "stream": False})
    if status == 200:
        equal(json.loads(body)["message"]["content"], HELLO)
    else:
        equal(status, 404)
        contains(body, "/v1")


def c094_embeddings():
    for prefix in ("ollama", "openai"):
        answer = litellm.embedding(f"{prefix}/{encoder()}", ["red", "green"], api_base=BASES[prefix], api_key="any")
        equal((prefix, len(answer.data)), (prefix, 2))


def c102_unknown_model():
    for prefix in ("ollama_chat", "openai", "anthropic"):
        with refused(litellm.NotFoundError, "no-such-model"):
            complete(prefix, model="no-such-model")


def c020_close_frees_the_slot():
    chunks = complete("openai", ENDLESS, stream=True)
    next(iter(chunks))
    slot_is_taken()
    chunks.completion_stream.close()
    slot_is_free()
    equal(complete("openai").choices[0].message.content, HELLO)


if __name__ == "__main__":
    main()
