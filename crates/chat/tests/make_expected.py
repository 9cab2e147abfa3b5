#!/usr/bin/env python3
"""Writes tests/expected/<template>.json: what the reference Jinja makes of each conversation.

Usage: make_expected.py TEMPLATE_DIR [TEMPLATE_DIR...]      (needs: pip install jinja2)

The environment is set up as the `apply_chat_template` of Hugging Face transformers does it:
immutable sandbox, trim_blocks, lstrip_blocks, loop controls, json.dumps without escapes,
raise_exception, strftime_now (here with a fixed clock) and the generation tag. Two things are
added because runtimes provide them and templates in the wild use them: the filter `from_json`,
and lists that can be appended to (only when the immutable sandbox refuses the template).
"""

import datetime
import json
import pathlib
import sys

import jinja2
import jinja2.ext
import jinja2.nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment, SecurityError

HERE = pathlib.Path(__file__).parent
NOW = datetime.datetime(2026, 3, 5, 14, 7, 9)  # a Thursday


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        call = self.call_method("_body")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def environment(kind):
    env = kind(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.filters["from_json"] = json.loads
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: NOW.strftime(form)
    return env


def variables(source, case):
    """The name under which a template reads reasoning is the template's own choice."""
    out = dict(bos_token="<BOS>", eos_token="<EOS>")
    out.update({k: v for k, v in case.items() if k not in ("name", "tools")})
    # The fields in the order in which the runtime writes them, whatever the order in the file.
    order = ["role", "content", "reasoning_content", "tool_calls", "tool_call_id", "name"]
    out["messages"] = [{k: m[k] for k in order if k in m} for m in json.loads(json.dumps(out["messages"]))]
    if case.get("tools"):
        out["tools"] = case["tools"]
    if "reasoning_content" not in source:
        for word in ("thinking", "reasoning"):
            if f"message.{word}" in source or f"message['{word}']" in source:
                out["messages"] = [
                    {(word if k == "reasoning_content" else k): v for k, v in m.items()} for m in out["messages"]
                ]
                break
    return out


def render(source, case):
    for kind in (ImmutableSandboxedEnvironment, SandboxedEnvironment):
        try:
            return {"text": environment(kind).from_string(source).render(**variables(source, case))}
        except SecurityError:
            continue
        except Exception as error:  # a template may fail in any way that Python can
            return {"error": f"{type(error).__name__}: {error}"}
    return {"error": "SecurityError"}


def main():
    cases = json.loads((HERE / "conversations.json").read_text())
    for directory in sys.argv[1:]:
        for path in sorted(pathlib.Path(directory).glob("*.jinja")):
            source = path.read_text()
            result = {case["name"]: render(source, case) for case in cases}
            (HERE / "expected" / f"{path.stem}.json").write_text(
                json.dumps(result, ensure_ascii=False, indent=1) + "\n"
            )


main()
