#!/usr/bin/env python3
"""Writes a model that is a script: what it says depends on its last token alone, so a test knows every answer.

    scripted.py MODEL.gguf [--modelfile PATH]

It is a llama model of one layer whose attention and feed-forward add nothing. Each token's embedding is a unit vector
of its own, so the output matrix is a table: the logit of the next token for each previous one. The template ends the
prompt with a token that begins one of the CHAINS. Everywhere else the table prefers what ends JSON soon, so that an
answer under any grammar is short.
"""

import argparse
import struct

END = "<|end|>"
# The end of every string in JSON that a grammar begins.
CITY = 'Oslo"'
ANSWER = '{"city":"Oslo"}'
CALL = '{"name": "get_weather", "arguments": {"city": "Oslo"}}'
ROLES = ["<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]
# What is said behind the token that begins it; the last one goes on from there.
CHAINS = {
    "<|call|>": ["<tool_call>", CALL, "</tool_call>", END],
    "<|tell|>": ["The weather", " is", " fine", ".", END],
    "<|say|>": ["Hello", " there", "!", END],
    "<|think|>": ["<think>", "I should greet.", "</think>", "Hello"],
    "<|endless|>": [" on", " and", " on"],
    "<|fence|>": [f"```json\n{ANSWER}\n```", END],
    ANSWER: [END],
}
CONTROL = [END, *ROLES, *(first for first in CHAINS if first != ANSWER)]
# A phrase of one character is a byte's token.
SAID = [ANSWER, CITY, *(text for chain in CHAINS.values() for text in chain)]
PHRASES = list(dict.fromkeys(text for text in SAID if len(text) > 1 and text not in CONTROL))

CERTAIN = 20.0
# Where a grammar lets the whole answer stand, it stands there.
PREFERRED = {ANSWER: 3.5, CITY: 3.2, '"': 3.0, "}": 2.8, END: 2.7, "]": 2.6, ",": 2.4, "1": 2.0, "t": 1.9}
BLANK, OTHER, NEVER = -3.0, 0.0, -5.0

# Asked for something "endless", it goes on until a limit ends it; asked for "```json", it fences its answer.
TEMPLATE = """\
{%- if tools %}<|system|>Tools: {{ tools | tojson }}. Call them as <tool_call>JSON</tool_call>.<|end|>{% endif %}
{%- for message in messages %}<|{{ message.role }}|>
{%- if message.content %}{{ message.content }}{% endif %}
{%- for call in message.tool_calls or [] %}<tool_call>{"name": {{ call.function.name | tojson }}, "arguments": \
{{ call.function.arguments | tojson }}}</tool_call>{% endfor %}<|end|>
{%- endfor %}
{%- if add_generation_prompt %}
{%- set last = messages[-1] %}
{%- if last.role == 'tool' %}<|tell|>
{%- elif tools %}<|call|>
{%- elif 'endless' in (last.content or '') %}<|endless|>
{%- elif '```json' in messages | map(attribute='content') | join(' ') %}<|fence|>
{%- elif enable_thinking is defined and enable_thinking %}{# <think> and </think> #}<|think|>
{%- else %}<|say|>{% endif %}
{%- endif %}"""

NORMAL, CONTROL_TYPE, USER_DEFINED = 1, 3, 4
U32, F32, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5
# An endless answer fills the context only after many seconds, so that a test can tell whether it was cut off before.
CONTEXT, HEAD, FEED_FORWARD, ALIGNMENT = 16384, 32, 32, 32


def byte_texts():
    """GPT-2's spelling of the 256 bytes: visible ones as themselves, the others from U+0100 on."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in visible else next(others)) for byte in range(256)]


def vocabulary():
    """The tokens' texts and types. Phrases are kept as they are written, since no merge makes them."""
    texts = byte_texts() + CONTROL + PHRASES
    types = [NORMAL] * 256 + [CONTROL_TYPE] * len(CONTROL) + [USER_DEFINED] * len(PHRASES)
    return texts, types


def preference(text, kind):
    """The logit of a token where no chain says what comes next."""
    if text in PREFERRED:
        return PREFERRED[text]
    if kind == CONTROL_TYPE:
        return NEVER
    # Blanks are those that the 256 bytes spell from U+0100 on.
    return BLANK if len(text) == 1 and ord(text) >= 0x100 else OTHER if text.isalpha() else -1.0


def table(texts, types):
    """`rows[next][previous]`."""
    number = {text: index for index, text in enumerate(texts)}
    rows = [[preference(text, kind)] * len(texts) for text, kind in zip(texts, types)]
    for first, chain in CHAINS.items():
        for previous, following in zip([first, *chain], chain):
            rows[number[following]][number[previous]] = CERTAIN
    return rows


def string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def value(kind, content):
    if kind == STRING:
        return string(content)
    if kind == ARRAY:
        inner, items = content
        return struct.pack("<IQ", inner, len(items)) + b"".join(value(inner, item) for item in items)
    return struct.pack({U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}[kind], content)


def metadata(texts, types, width):
    end = texts.index(END)
    llama = {
        "context_length": CONTEXT,
        "embedding_length": width,
        "block_count": 1,
        "feed_forward_length": FEED_FORWARD,
        "attention.head_count": width // HEAD,
        "attention.head_count_kv": 1,
        "rope.dimension_count": HEAD,
        "vocab_size": len(texts),
    }
    return [
        ("general.architecture", STRING, "llama"),
        ("general.name", STRING, "Scripted"),
        ("general.basename", STRING, "Scripted"),
        ("general.file_type", U32, 0),
        *((f"llama.{key}", U32, number) for key, number in llama.items()),
        ("llama.attention.layer_norm_rms_epsilon", F32, 1e-12),
        ("tokenizer.ggml.model", STRING, "gpt2"),
        ("tokenizer.ggml.pre", STRING, "gpt-2"),
        ("tokenizer.ggml.tokens", ARRAY, (STRING, texts)),
        ("tokenizer.ggml.token_type", ARRAY, (I32, types)),
        ("tokenizer.ggml.merges", ARRAY, (STRING, [])),
        ("tokenizer.ggml.bos_token_id", U32, end),
        ("tokenizer.ggml.eos_token_id", U32, end),
        ("tokenizer.ggml.add_bos_token", BOOL, False),
        ("tokenizer.chat_template", STRING, TEMPLATE),
    ]


def tensors(rows, width):
    """Names, sizes innermost first, and contents, all F32."""
    vocab = len(rows)
    zeros = lambda *sizes: bytes(4 * sizes[0] * (sizes[1] if len(sizes) > 1 else 1))
    floats = lambda numbers: struct.pack(f"<{len(numbers)}f", *numbers)
    unit = lambda index: floats([1.0 if column == index else 0.0 for column in range(width)])
    padded = lambda row: floats(row + [0.0] * (width - vocab))
    yield "token_embd.weight", (width, vocab), b"".join(unit(index) for index in range(vocab))
    # The normalised unit vector is as long as the root of the width; this makes it a unit vector again.
    yield "output_norm.weight", (width,), floats([width**-0.5] * width)
    yield "output.weight", (width, vocab), b"".join(padded(row) for row in rows)
    for name in ("attn_norm", "ffn_norm"):
        yield f"blk.0.{name}.weight", (width,), floats([1.0] * width)
    shapes = {
        "attn_q": (width, width),
        "attn_k": (width, HEAD),
        "attn_v": (width, HEAD),
        "attn_output": (width, width),
        "ffn_gate": (width, FEED_FORWARD),
        "ffn_up": (width, FEED_FORWARD),
        "ffn_down": (FEED_FORWARD, width),
    }
    for name, sizes in shapes.items():
        yield f"blk.0.{name}.weight", sizes, zeros(*sizes)


def gguf(pairs, contents):
    """A GGUF file of version 3."""
    head = [b"GGUF", struct.pack("<IQQ", 3, len(contents), len(pairs))]
    head += [string(key) + struct.pack("<I", kind) + value(kind, content) for key, kind, content in pairs]
    offset, data = 0, []
    for name, sizes, content in contents:
        head.append(string(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, 0, offset))
        content += bytes(-len(content) % ALIGNMENT)
        offset += len(content)
        data.append(content)
    front = b"".join(head)
    return front + bytes(-len(front) % ALIGNMENT) + b"".join(data)


def model():
    """The model's file."""
    texts, types = vocabulary()
    width = -(-len(texts) // 32) * 32
    return gguf(metadata(texts, types, width), list(tensors(table(texts, types), width)))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("path", help="the GGUF file to write")
    arguments.add_argument("--modelfile", help="a Modelfile to write as well, which makes answers certain")
    options = arguments.parse_args()
    with open(options.path, "wb") as file:
        file.write(model())
    if options.modelfile:
        with open(options.modelfile, "w", encoding="utf-8") as file:
            file.write(f"FROM {options.path}\nPARAMETER temperature 0\n")


if __name__ == "__main__":
    main()
