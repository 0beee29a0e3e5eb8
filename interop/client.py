"""Python's openai against a running server: python client.py URL MODEL. Prints what it got as JSON, or fails by an assertion."""
import json
import sys

from openai import APIStatusError, OpenAI

url, model = sys.argv[1:3]
client = OpenAI(base_url=f"{url}/v1", api_key="secret", max_retries=0)
messages = [{"role": "user", "content": "What is the capital of France? Answer in one word."}]
got = {}

whole = client.chat.completions.create(model=model, messages=messages, temperature=0, max_tokens=12)
got["text"] = whole.choices[0].message.content
pieces = [
    chunk.choices[0].delta.content or ""
    for chunk in client.chat.completions.create(model=model, messages=messages, temperature=0, max_tokens=12, stream=True)
    if chunk.choices
]
assert "".join(pieces) == got["text"], pieces

schema = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}},
    "required": ["city"],
    "additionalProperties": False,
}
shaped = client.chat.completions.create(
    model=model,
    messages=messages,
    temperature=0,
    max_tokens=200,
    response_format={"type": "json_schema", "json_schema": {"name": "city", "schema": schema, "strict": True}},
)
got["schema"] = json.loads(shaped.choices[0].message.content)

tools = [{"type": "function", "function": {"name": "weather", "description": "of a city", "parameters": schema}}]
choice = {"type": "function", "function": {"name": "weather"}}
call = client.chat.completions.create(model=model, messages=messages, temperature=0, max_tokens=200, tools=tools, tool_choice=choice)
got["call"] = [[c.function.name, json.loads(c.function.arguments)] for c in call.choices[0].message.tool_calls]

response = client.responses.create(model=model, input="Say hello.", temperature=0, max_output_tokens=16, store=False)
got["response"] = response.output_text
with client.responses.stream(model=model, input="Say hello.", temperature=0, max_output_tokens=16, store=False) as stream:
    events = list(stream)
    # Cut by max_output_tokens it ends in response.incomplete, where the client's own get_final_response knows response.completed alone.
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == got["response"] and events[-1].response.output_text == text, [event.type for event in events]

completion = client.completions.create(model=model, prompt=[5, 6, 7, 8], max_tokens=1, echo=True, logprobs=2)
got["logprobs"] = completion.choices[0].logprobs.token_logprobs

with client.chat.completions.create(model=model, messages=messages, max_tokens=1000, stream=True) as stream:
    for _ in zip(range(3), stream):
        pass

try:
    client.chat.completions.create(model=model, messages=messages, extra_body={"guess": 1})
    raise AssertionError("an unknown parameter was taken")
except APIStatusError as error:
    got["error"] = [error.status_code, error.body["param"]]
print(json.dumps(got))
