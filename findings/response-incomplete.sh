#!/bin/sh
# Python's openai 3.51.0: the stream helper of responses has no final response for one that max_output_tokens has cut.
#
# Seen on 2026-11-29. A stream of the Responses API ends in `response.completed`, or in `response.incomplete` where
# max_output_tokens ends the text; both carry the whole response. client.responses.stream() passes both events on, but
# get_final_response() knows the first alone:
#
#   last event            get_final_response()
#   response.completed    the response, output_text "Hello"
#   response.incomplete   RuntimeError: Didn't receive a `response.completed` event.
#
# Without streaming the client gives the incomplete response as any other, status "incomplete".
#
# Why it matters: a server that ends cut answers as the API says looks broken to who uses the helper; the last event's own
# `response` has what is wanted.
#
# Needs python3 with venv and pip, and a network. Takes about half a minute. Exits with 1 where the table above no longer holds.
set -eu

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet openai==3.51.0

cat >"$dir/seen.py" <<'PY'
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from openai import OpenAI, __version__

status = "completed"


def response(state, text):
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": state, "content": [part]}
    return {
        "id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": state,
        "output": [message] if text else [], "parallel_tool_calls": False, "tool_choice": "auto", "tools": [],
        "error": None, "instructions": None, "metadata": {}, "temperature": 1, "top_p": 1,
        "incomplete_details": {"reason": "max_output_tokens"} if state == "incomplete" else None,
    }


class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "in_progress", "content": []}
        part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        events = [
            {"type": "response.created", "response": response("in_progress", "")},
            {"type": "response.output_item.added", "output_index": 0, "item": item},
            {"type": "response.content_part.added", **at, "part": part},
            {"type": "response.output_text.delta", **at, "delta": "Hello", "logprobs": []},
            {"type": f"response.{status}", "response": response(status, "Hello")},
        ]
        for number, event in enumerate(events):
            text = json.dumps({"sequence_number": number, **event})
            self.wfile.write(f"event: {event['type']}\ndata: {text}\n\n".encode())

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = OpenAI(base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="none", max_retries=0)
seen = {}
for status in ("completed", "incomplete"):
    with client.responses.stream(model="m", input="Hi") as stream:
        last = [event.type for event in stream][-1]
        try:
            got = stream.get_final_response().output_text
        except RuntimeError as error:
            got = f"RuntimeError: {error}"
    seen[last] = got
    print(f"openai {__version__}  {last:22}{got}")
expected = {
    "response.completed": "Hello",
    "response.incomplete": "RuntimeError: Didn't receive a `response.completed` event.",
}
raise SystemExit(0 if seen == expected else "the behaviour has changed")
PY
"$dir/venv/bin/python" "$dir/seen.py"
