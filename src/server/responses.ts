import type { Context } from "hono";
import type { Usage } from "../batch/request.ts";
import { requestsOf } from "./ask.ts";
import { plainNumbers, type Reasons, readBody } from "./body.ts";
import { messagesOf } from "./converse.ts";
import { Problem, problemOf } from "./errors.ts";
import { constrainAnswers } from "./form.ts";
import type { Env } from "./guard.ts";
import { beginWork, type Hall, newId, now } from "./hall.ts";
import { Output, type Told } from "./items.ts";
import { promptOf } from "./prompt.ts";
import type { ResponseFormat, Tool } from "./schema/calling.ts";
import { type ResponseBody, responseBody } from "./schema/response.ts";
import { unsupported } from "./schema/sampling.ts";
import type { Served } from "./served.ts";
import { type Piece, speak } from "./speak.ts";
import { openStream, type Part, type Remark } from "./stream.ts";
import { speechOf, toolsOf } from "./talk.ts";
import { costOf } from "./usage.ts";

/** Why keys that clients of the Responses API know are not taken. */
const reasons: Reasons = {
  ...unsupported,
  previous_response_id: "nothing is stored; send the conversation so far as input",
  conversation: "nothing is stored; send the conversation so far as input",
  prompt: "there are no stored prompts",
  max_tool_calls: "tools are called by the client alone",
  n: "a response has one answer",
};

type Pieces = AsyncGenerator<Piece | Remark, void, undefined>;

/** POST /v1/responses: OpenAI's Responses API, as Open Responses has it too; nothing is stored. */
export async function respond(c: Context<Env>, hall: Hall): Promise<Response> {
  const body = await readBody(c, responseBody, reasons);
  const scored = body.include?.includes("message.output_text.logprobs") ?? false;
  if (body.top_logprobs && !scored)
    throw new Problem(
      400,
      `top_logprobs: got ${body.top_logprobs}, expected include: ["message.output_text.logprobs"] with it`,
      {
        param: "top_logprobs",
        code: "invalid_value",
      },
    );
  const work = await beginWork(c, hall, body.model);
  try {
    const { served } = work;
    const choice = body.tool_choice;
    const tool_choice = typeof choice === "object" ? { type: choice.type, function: { name: choice.name } } : choice;
    const told = toolsOf(served, { tools: body.tools?.map(toolOf), tool_choice });
    const prompt = await promptOf(served, {
      messages: messagesOf(body),
      tools: told,
      reasoning_effort: body.reasoning?.effort ?? undefined,
      chat_template_kwargs: body.chat_template_kwargs,
    });
    const tools = told && plainNumbers(told);
    const speech = speechOf(served, prompt, tools);
    const asked = { ...body, response_format: formatOf(body), tool_choice };
    const constraints = await constrainAnswers(work, asked, { prompt, tools, n: 1 });
    const requests = requestsOf(served, body, {
      ids: prompt.ids,
      maxTokens: body.max_output_tokens,
      logprobs: scored ? (body.top_logprobs ?? 0) : undefined,
      special: speech.marks,
      constraints,
      realm: work.realm,
      signal: work.signal,
    });
    const pieces = speak(hall, work, requests, { ...speech, parallel: body.parallel_tool_calls ?? true });
    const begun = objectOf(served, body);
    const events = eventsOf(pieces, begun);
    if (body.stream) return await openStream(streamOf(events, begun, hall), hall);
    let last: object = begun;
    for await (const event of events) if ("data" in event) last = event.data as Told;
    return c.json((last as Told).response as object);
  } catch (error) {
    work.end();
    throw error instanceof Problem ? renamed(error) : error;
  }
}

/** What chat calls the same parameters, and their names here. */
const names: Readonly<Record<string, string>> = {
  messages: "input",
  reasoning_effort: "reasoning.effort",
  response_format: "text.format",
};

/** A refusal by the name that its parameter has here; where in the messages of a conversation it is says nothing of its items. */
function renamed(error: Problem): Problem {
  const { status, message, param, code, after } = error;
  const [root = ""] = /^\w+/.exec(param ?? "") ?? [];
  const name = Object.hasOwn(names, root) ? names[root] : undefined;
  if (param === undefined || name === undefined) return error;
  const told = message.startsWith(param) ? `${name}${message.slice(param.length)}` : message;
  return new Problem(status, told, { param: name, code, after, cause: error });
}

function toolOf({ type, ...definition }: NonNullable<ResponseBody["tools"]>[number]): Tool {
  return { type, function: definition };
}

/** A format as chat has it. */
function formatOf({ text }: ResponseBody): ResponseFormat | undefined {
  const format = text?.format;
  return format?.type === "json_schema" ? { type: "json_schema", json_schema: { schema: format.schema } } : format;
}

/** A response as it is when it has begun: what was asked, and nothing yet. */
function objectOf({ name, sampling }: Served, body: ResponseBody) {
  return {
    id: newId("resp_"),
    object: "response",
    created_at: now(),
    completed_at: null,
    status: "in_progress",
    background: false,
    error: null,
    incomplete_details: null,
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    max_tool_calls: null,
    model: name,
    output: [],
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    previous_response_id: null,
    reasoning: { effort: body.reasoning?.effort ?? null, summary: null },
    store: false,
    temperature: body.temperature ?? sampling.temperature ?? 1,
    top_p: body.top_p ?? sampling.topP ?? 1,
    presence_penalty: body.presence_penalty ?? 0,
    frequency_penalty: body.frequency_penalty ?? 0,
    top_logprobs: body.top_logprobs ?? 0,
    text: { format: body.text?.format ?? { type: "text" } },
    tool_choice: body.tool_choice ?? "auto",
    tools: plainNumbers(body.tools ?? []).map(({ description = null, parameters = null, strict = null, ...tool }) => ({
      ...tool,
      description,
      parameters,
      strict,
    })),
    truncation: "disabled",
    usage: null,
    service_tier: "default",
    metadata: body.metadata ?? {},
    user: body.user ?? null,
    safety_identifier: body.safety_identifier ?? null,
    prompt_cache_key: body.prompt_cache_key ?? null,
  };
}

/** Everything that happens, numbered, each under its name as OpenAI's API streams it; the last event has the whole response. */
async function* eventsOf(pieces: Pieces, begun: ReturnType<typeof objectOf>): AsyncGenerator<Part, void, undefined> {
  const output = new Output();
  const number = counter();
  // What is refused fails here, before anything is told.
  const first = await pieces.next();
  yield number({ type: "response.created", response: begun });
  yield number({ type: "response.in_progress", response: begun });
  try {
    for (let found = first; !found.done; found = await pieces.next()) {
      const piece = found.value;
      if ("comment" in piece) {
        yield piece;
        continue;
      }
      for (const event of output.take(piece)) yield number(event);
      if (!piece.finish) continue;
      const status = piece.finish === "length" ? "incomplete" : "completed";
      for (const event of output.end(status)) yield number(event);
      const response = {
        ...begun,
        status,
        completed_at: status === "completed" ? now() : null,
        incomplete_details: status === "incomplete" ? { reason: "max_output_tokens" } : null,
        output: output.items,
        usage: usageOf(piece),
        biform: costOf([piece.usage!]),
      };
      yield number({ type: `response.${status}`, response });
    }
  } finally {
    await pieces.return();
  }
}

/** Numbers events from 0 on. */
function counter(): (event: Told) => Extract<Part, { data: unknown }> {
  let next = 0;
  return (event) => ({ event: event.type, data: { ...event, sequence_number: next++ } });
}

/** The same for a stream: a failure midway is an event too, and the end is as Open Responses asks for it. */
async function* streamOf(
  events: AsyncGenerator<Part, void, undefined>,
  begun: ReturnType<typeof objectOf>,
  hall: Hall,
): AsyncGenerator<Part, void, undefined> {
  let told = 0;
  try {
    for await (const event of events) {
      if ("data" in event) told++;
      yield event;
    }
  } catch (error) {
    if (told === 0) throw error;
    const { message, code } = problemOf(error, hall.tell);
    const response = { ...begun, status: "failed", error: { code: code ?? "server_error", message } };
    yield { event: "response.failed", data: { type: "response.failed", sequence_number: told, response } };
  }
  yield { data: "[DONE]" };
}

function usageOf({ usage, thought = 0 }: Piece) {
  const { prompt, written, cached } = usage as Usage;
  return {
    input_tokens: prompt,
    input_tokens_details: { cached_tokens: cached },
    output_tokens: written,
    output_tokens_details: { reasoning_tokens: thought },
    total_tokens: prompt + written,
  };
}
