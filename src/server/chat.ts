import type { Context } from "hono";
import type { Usage } from "../batch/request.ts";
import { requestsOf } from "./ask.ts";
import { plainNumbers, readBody } from "./body.ts";
import { type Choice, newChoice } from "./choice.ts";
import { Problem } from "./errors.ts";
import { constrainAnswers } from "./form.ts";
import type { Env } from "./guard.ts";
import { beginWork, fingerprintOf, type Hall, newId, now } from "./hall.ts";
import type { Delta } from "./parse/parser.ts";
import { promptOf } from "./prompt.ts";
import { type ChatBody, chatBody } from "./schema/chat.ts";
import { unsupported } from "./schema/sampling.ts";
import { type Piece, speak } from "./speak.ts";
import { openStream, type Part, type Remark } from "./stream.ts";
import { speechOf, toolsOf } from "./talk.ts";
import { costOf, usageOf } from "./usage.ts";

/** POST /v1/chat/completions. */
export async function chat(c: Context<Env>, hall: Hall): Promise<Response> {
  const body = await readBody(c, chatBody, unsupported);
  if (body.top_logprobs !== undefined && !body.logprobs)
    throw new Problem(400, `top_logprobs: got ${body.top_logprobs} without logprobs, expected logprobs: true`, {
      param: "top_logprobs",
      code: "invalid_value",
    });
  if (body.max_tokens !== undefined && body.max_tokens !== (body.max_completion_tokens ?? body.max_tokens))
    throw new Problem(
      400,
      `max_tokens: got ${body.max_tokens} beside max_completion_tokens ${body.max_completion_tokens}, expected one of them`,
      { param: "max_tokens", code: "invalid_value" },
    );
  const work = await beginWork(c, hall, body.model);
  try {
    const { served } = work;
    const told = toolsOf(served, body);
    const prompt = await promptOf(served, { ...body, tools: told });
    const tools = told && plainNumbers(told);
    const speech = speechOf(served, prompt, tools);
    const constraints = await constrainAnswers(work, body, { prompt, tools, n: body.n ?? 1 });
    const requests = requestsOf(served, body, {
      ids: prompt.ids,
      maxTokens: body.max_completion_tokens ?? body.max_tokens,
      logprobs: body.logprobs ? (body.top_logprobs ?? 0) : undefined,
      special: speech.marks,
      constraints,
      realm: work.realm,
      signal: work.signal,
    });
    const pieces = speak(hall, work, requests, { ...speech, parallel: body.parallel_tool_calls ?? true });
    const head = {
      id: newId("chatcmpl-"),
      created: now(),
      model: served.name,
      system_fingerprint: fingerprintOf(hall),
    };
    if (body.stream)
      return await openStream(chunksOf(pieces, body, { ...head, object: "chat.completion.chunk" }), hall);
    return c.json({ ...head, object: "chat.completion", ...(await gather(pieces, body)) });
  } catch (error) {
    work.end();
    throw error;
  }
}

async function gather(pieces: AsyncIterable<Piece | Remark>, { n = 1, logprobs }: ChatBody) {
  const choices: Choice[] = Array.from({ length: n }, () => newChoice());
  const usages: Usage[] = [];
  const thoughts: number[] = [];
  for await (const piece of pieces) {
    if ("comment" in piece) continue;
    choices[piece.index]!.take(piece);
    if (piece.usage) usages[piece.index] = piece.usage;
    if (piece.finish) thoughts.push(piece.thought ?? 0);
  }
  const all = choices.map(({ message, logprobs: found, finish }, index) => ({
    index,
    message,
    logprobs: logprobs ? { content: found, refusal: null } : null,
    finish_reason: finish,
  }));
  return { choices: all, usage: usageOf(usages, n, thoughts), biform: costOf(usages) };
}

async function* chunksOf(
  pieces: AsyncGenerator<Piece | Remark, void, undefined>,
  { n = 1, stream_options: options }: ChatBody,
  head: object,
): AsyncGenerator<Part, void, undefined> {
  const told = options?.include_usage ? { usage: null } : {};
  const usages: Usage[] = [];
  const thoughts: number[] = [];
  const begun = new Set<number>();
  const chunk = (index: number, delta: object, more: object) => {
    const role = begun.has(index) ? {} : { role: "assistant" };
    begun.add(index);
    const choice = { index, delta: { ...role, ...delta }, logprobs: null, finish_reason: null, ...more };
    return { ...head, choices: [choice], ...told };
  };
  for await (const piece of pieces) {
    if ("comment" in piece) {
      yield piece;
      continue;
    }
    const { index, deltas, logprob, finish, usage } = piece;
    if (usage) usages[index] = usage;
    if (finish) thoughts.push(piece.thought ?? 0);
    let scored = logprob ? { logprobs: { content: [logprob], refusal: null } } : {};
    // A score without text has a chunk of its own, and an answer begins with its first token even if that says nothing yet.
    for (const delta of deltas.length || (!logprob && begun.has(index)) || finish ? deltas : [{ content: "" }]) {
      yield { data: chunk(index, deltaOf(delta), scored) };
      scored = {};
    }
    if (finish) yield { data: { ...chunk(index, {}, { finish_reason: finish }), biform: costOf([usage!]) } };
  }
  if (options?.include_usage)
    yield { data: { ...head, choices: [], usage: usageOf(usages, n, thoughts), biform: costOf(usages) } };
  yield { data: "[DONE]" };
}

function deltaOf({ content, reasoning, call }: Delta): object {
  if (!call) return content === undefined ? { reasoning_content: reasoning } : { content };
  const { index, id = newId("call_"), name, arguments: text } = call;
  return { tool_calls: [{ index, id, type: "function", function: { name, arguments: text } }] };
}
