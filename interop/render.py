"""Chat templates rendered by transformers and by Biform, byte for byte.

Templates are those that TRL carries, and all *.jinja files of folders that are given, such as llama.cpp's. Prints a line for each template that differs.
"""

import copy
import importlib.util
import json
import pathlib
import subprocess
import sys

import jinja2
import transformers
from transformers.utils import chat_template_utils

HERE = pathlib.Path(__file__).parent


def tool(name, **properties):
    parameters = {"type": "object", "properties": properties, "required": list(properties)[:1]}
    return {"type": "function", "function": {"name": name, "description": f"A <{name}> & “more”", "parameters": parameters}}


TOOLS = [
    tool("weather", city={"type": "string"}, days={"type": "integer", "default": 3}),
    tool("hard", items={"type": "array"}, keys={"minimum": 1.0, "maximum": 1e16}, values={"default": None}, get={"type": ["string", "null"]}),
]


def turn(role, content, **more):
    return {"role": role, "content": content, **more}


def call(number, name, arguments):
    return {"id": f"call{number:05d}", "type": "function", "function": {"name": name, "arguments": arguments}}


SYSTEM = turn("system", "Be brief.\n  Indented\n")
RESULT = turn("tool", '{"t": 20.5}', tool_call_id="call00001", name="weather")
CONVERSATIONS = [
    [turn("user", "Hello")],
    [SYSTEM, turn("user", "1"), turn("assistant", "2"), turn("user", " 3 "), turn("assistant", "4")],
    [turn("user", "Grüße 🐢 日本語 \u2028 <|im_end|> \t\r\n ")],
    [turn("system", ""), turn("user", ""), turn("assistant", ""), turn("user", " ")],
    [turn("user", "Rain?"), turn("assistant", "", tool_calls=[call(1, "weather", {"city": "Köln", "d": 1.0, "n": None})]), RESULT],
    [SYSTEM, turn("user", "Two"), turn("assistant", "So", tool_calls=[call(1, "weather", {}), call(2, "hard", {"items": [True]})]), RESULT],
    [turn("user", "?"), turn("assistant", None, tool_calls=[call(1, "weather", '{"city": "Bonn"}')]), RESULT, turn("user", "!")],
    [turn("user", "2+2"), turn("assistant", "4", reasoning_content="Sum.\n"), turn("user", "ok"), turn("assistant", "<think>\na\n</think>\n\nb")],
    [turn("user", [{"type": "text", "text": "Look "}, {"type": "text", "text": "here"}])],
    [turn("user", "a"), turn("user", "b")],
]
SETTINGS = [
    {"add_generation_prompt": True},
    {"add_generation_prompt": False, "tools": None, "documents": None},
    {"add_generation_prompt": True, "tools": TOOLS},
    {"add_generation_prompt": True, "tools": TOOLS, "enable_thinking": False, "reasoning_effort": "high"},
    {"add_generation_prompt": True, "enable_thinking": True, "thinking": True, "date_string": "1 Jan 2026"},
]
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
VALUES = [{**TOKENS, **setting, "messages": messages} for messages in CONVERSATIONS for setting in SETTINGS]


def expected(template):
    """What transformers writes for each of VALUES; None where it refuses."""
    try:
        compiled = chat_template_utils._compile_jinja_template(template)
    except jinja2.TemplateError:
        return [None] * len(VALUES)
    return [attempt(compiled, values) for values in VALUES]


def attempt(compiled, values):
    try:
        return compiled.render(**copy.deepcopy(values))
    except Exception:
        return None


def main():
    carried = pathlib.Path(importlib.util.find_spec("trl").origin).parent / "chat_templates"
    files = [file for folder in [carried, *sys.argv[1:]] for file in sorted(pathlib.Path(folder).glob("*.jinja"))]
    # The time is part of some texts, so it stands still.
    chat_template_utils.datetime = type("Fixed", (chat_template_utils.datetime,), {"now": classmethod(lambda own, zone=None: own(2026, 3, 7, 9, 5, 4))})
    templates = [file.read_bytes().decode() for file in files]
    asked = {"templates": templates, "values": [json.dumps(values) for values in VALUES]}
    node = subprocess.run(["node", str(HERE / "render.ts")], input=json.dumps(asked), capture_output=True, text=True, check=True)
    equal = wrong = refused = 0
    for file, template, written in zip(files, templates, json.loads(node.stdout)):
        pairs = list(zip(expected(template), written))
        equal += sum(a == b for a, b in pairs)
        refused += sum(a is None and b is None for a, b in pairs)
        at = next((at for at, (a, b) in enumerate(pairs) if a != b), None)
        if at is not None:
            wrong += 1
            print(f"DIFFERS {file.name} {json.dumps(VALUES[at])[:300]}: {pairs[at][0]!r} {pairs[at][1]!r}"[:1000])
    print(f"transformers {transformers.__version__}, Jinja2 {jinja2.__version__}: {len(files)} templates, {equal} alike, {refused} of them refused")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
