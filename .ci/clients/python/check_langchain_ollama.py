"""langchain-ollama."""

import ollama
import pydantic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_ollama import ChatOllama, OllamaEmbeddings, OllamaLLM

from checks import FINE, HELLO, MODEL, SERVER, THOUGHT, encoder, equal, main, refused, slot_is_free, slot_is_taken

chat = ChatOllama(model=MODEL, base_url=SERVER)


class Weather(pydantic.BaseModel):
    """The weather of a city"""

    city: str


@tool
def get_weather(city: str) -> str:
    """The weather of a city"""
    return f"sunny in {city}"


def c109_invoke():
    answer = chat.invoke("hi")
    equal(answer.content, HELLO)
    usage = answer.usage_metadata
    assert usage["input_tokens"] > 0 and usage["output_tokens"] > 0
    equal(usage["total_tokens"], usage["input_tokens"] + usage["output_tokens"])
    equal("".join(chunk.content for chunk in chat.stream("hi")), HELLO)


def c110_validation():
    equal(ChatOllama(model=MODEL, base_url=SERVER, validate_model_on_init=True).invoke("hi").content, HELLO)
    with refused(Exception, "no-such-model"):
        ChatOllama(model="no-such-model", base_url=SERVER, validate_model_on_init=True)


def c111_structured():
    equal(chat.with_structured_output(Weather).invoke("hi"), Weather(city="Oslo"))
    equal(chat.with_structured_output(Weather, method="json_mode").invoke("hi"), Weather(city="Oslo"))


def c112_tool_loop():
    bound = chat.bind_tools([get_weather])
    question = HumanMessage("hi")
    answer = bound.invoke([question])
    call = answer.tool_calls[0]
    equal((call["name"], call["args"]), ("get_weather", {"city": "Oslo"}))
    result = ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])
    equal(bound.invoke([question, answer, result]).content, FINE)


def c113_llm():
    equal(OllamaLLM(model=MODEL, base_url=SERVER).invoke("hi"), HELLO)


def c114_embeddings():
    vectors = OllamaEmbeddings(model=encoder(), base_url=SERVER).embed_documents(["red", "green"])
    equal((len(vectors), len(vectors[0]) > 0), (2, True))


def c115_reasoning():
    answer = ChatOllama(model=MODEL, base_url=SERVER, reasoning=True).invoke("hi")
    equal((answer.content, answer.additional_kwargs.get("reasoning_content")), (HELLO, THOUGHT))


def c102_unknown_model():
    with refused(ollama.ResponseError, "no-such-model", status=404):
        ChatOllama(model="no-such-model", base_url=SERVER).invoke("hi")


def c020_close_frees_the_slot():
    frames = chat.stream("something endless")
    next(frames)
    slot_is_taken()
    frames.close()
    slot_is_free()
    equal(chat.invoke("hi").content, HELLO)


if __name__ == "__main__":
    main()
