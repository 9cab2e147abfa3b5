"""instructor."""

from collections.abc import Iterable

import anthropic
import instructor
import openai
import pydantic
from instructor.core.exceptions import IncompleteOutputException, InstructorRetryException

from checks import MODEL, SERVER, equal, main, refused

plain = openai.OpenAI(base_url=SERVER + "/v1", api_key="any", max_retries=0, timeout=60)
Mode = instructor.Mode
HI = [{"role": "user", "content": "Where is it?"}]


class Weather(pydantic.BaseModel):
    """The weather of a city"""

    city: str


OSLO = {"city": "Oslo"}


def create(mode, **more):
    client = instructor.from_openai(plain, mode=mode)
    return client.chat.completions.create(
        **{"model": MODEL, "messages": HI, "max_retries": 1, "response_model": Weather, **more}
    )


def c136_modes():
    for mode in (Mode.TOOLS, Mode.JSON, Mode.JSON_SCHEMA, Mode.MD_JSON):
        equal((mode, create(mode).model_dump()), (mode, OSLO))


def c136_parallel_tools():
    found = list(create(Mode.PARALLEL_TOOLS, response_model=Iterable[Weather]))
    assert found and all(isinstance(one, Weather) for one in found), found


def c136_responses():
    client = instructor.from_openai(plain, mode=Mode.RESPONSES_TOOLS)
    found = client.responses.create(model=MODEL, input=HI, response_model=Weather, max_retries=1)
    equal(found.model_dump(), OSLO)


def c136_anthropic():
    client = anthropic.Anthropic(base_url=SERVER, api_key="any", max_retries=0, timeout=60)
    found = instructor.from_anthropic(client).messages.create(
        model=MODEL, max_tokens=256, messages=HI, response_model=Weather, max_retries=1
    )
    equal(found.model_dump(), OSLO)


def c137_partial():
    client = instructor.from_openai(plain, mode=Mode.TOOLS)
    parts = list(client.chat.completions.create_partial(model=MODEL, messages=HI, response_model=Weather))
    equal(parts[-1].city, "Oslo")


def c137_c138_iterable():
    client = instructor.from_openai(plain, mode=Mode.TOOLS)
    found = list(client.chat.completions.create_iterable(model=MODEL, messages=HI, response_model=Weather))
    assert found and all(isinstance(one, Weather) for one in found), found


def c139_length():
    with refused((IncompleteOutputException, InstructorRetryException), "incomplete"):
        create(Mode.TOOLS, max_tokens=2)


def c043_unknown_model():
    with refused(InstructorRetryException, "no-such-model"):
        create(Mode.TOOLS, model="no-such-model")


if __name__ == "__main__":
    main()
