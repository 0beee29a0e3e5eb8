import type { Context } from "hono";
import type { Request, Usage } from "../batch/request.ts";
import { requestsOf } from "./ask.ts";
import { readBody } from "./body.ts";
import { WIDE } from "./completions.ts";
import { Problem } from "./errors.ts";
import type { Env } from "./guard.ts";
import { beginWork, fingerprintOf, type Hall, newId, now, type Work } from "./hall.ts";
import { promptOf } from "./prompt.ts";
import { type ChatBody, chatBody } from "./schema/chat.ts";
import { unsupported } from "./schema/sampling.ts";
import { chatLogprob, spellerOf } from "./spell.ts";
import { openStream, type Part, type Remark } from "./stream.ts";
import { together } from "./together.ts";
import { costOf, finishOf, usageOf } from "./usage.ts";

type Logprob = ReturnType<typeof chatLogprob>;

/** What one event adds to its choice. */
interface Piece {
  readonly index: number;
  readonly content: string;
  readonly logprob: Logprob | undefined;
  readonly finish: "stop" | "length" | null;
  readonly usage?: Usage;
}

/** POST /v1/chat/completions. */
export async function chat(c: Context<Env>, hall: Hall): Promise<Response> {
  const body = await readBody(c, chatBody, unsupported);
  if (body.top_logprobs !== undefined && !body.logprobs)
    throw new Problem(400, `top_logprobs: got ${body.top_logprobs} without logprobs, expected logprobs: true`, {
      param: "top_logprobs",
      code: "invalid_value",
    });
  const work = await beginWork(c, hall, body.model);
  try {
    const ids = await promptOf(work.served, body);
    const requests = requestsOf(work.served, body, {
      ids,
      maxTokens: body.max_completion_tokens ?? body.max_tokens,
      logprobs: body.logprobs ? (body.top_logprobs ?? 0) : undefined,
      realm: work.realm,
      signal: work.signal,
    });
    const head = { id: newId("chatcmpl"), created: now(), model: work.served.name };
    const shared = { ...head, system_fingerprint: fingerprintOf(hall) };
    const pieces = piecesOf(hall, work, requests);
    if (body.stream)
      return await openStream(chunksOf(pieces, body, { ...shared, object: "chat.completion.chunk" }), hall);
    return c.json({ ...shared, object: "chat.completion", ...(await gather(pieces, body)) });
  } catch (error) {
    work.end();
    throw error;
  }
}

async function* piecesOf(
  { metrics }: Hall,
  { served, end, check }: Work,
  requests: readonly Request[],
): AsyncGenerator<Piece | Remark, void, undefined> {
  const spell = spellerOf(served.tokenizer);
  const runs = requests.map((request) => () => served.engine.submit(request));
  try {
    for await (const { index, event } of together(runs, WIDE, end)) {
      if (event.kind === "token") {
        const logprob = event.score && chatLogprob(spell, event.score);
        yield { index, content: event.text, logprob, finish: null };
      } else if (event.kind === "queued") yield { comment: `queued at place ${event.place}` };
      else if (event.kind === "end") {
        if (event.finish === "abort") check();
        metrics.observe(served.name, event.usage);
        yield { index, content: "", logprob: undefined, finish: finishOf(event.finish), usage: event.usage };
      }
    }
  } finally {
    end();
  }
}

async function gather(pieces: AsyncIterable<Piece | Remark>, { n = 1, logprobs }: ChatBody) {
  const choices = Array.from({ length: n }, (_, index) => ({
    index,
    message: { role: "assistant", content: "", refusal: null },
    logprobs: logprobs ? { content: [] as Logprob[], refusal: null } : null,
    finish_reason: null as Piece["finish"],
  }));
  const usages: Usage[] = [];
  for await (const piece of pieces) {
    if ("comment" in piece) continue;
    const { index, content, logprob, finish, usage } = piece;
    const choice = choices[index]!;
    choice.message.content += content;
    if (logprob) choice.logprobs?.content.push(logprob);
    choice.finish_reason = finish;
    if (usage) usages[index] = usage;
  }
  return { choices, usage: usageOf(usages, n), biform: costOf(usages) };
}

async function* chunksOf(
  pieces: AsyncGenerator<Piece | Remark, void, undefined>,
  { n = 1, stream_options: options }: ChatBody,
  head: object,
): AsyncGenerator<Part, void, undefined> {
  const told = options?.include_usage ? { usage: null } : {};
  const usages: Usage[] = [];
  const begun = new Set<number>();
  for await (const piece of pieces) {
    if ("comment" in piece) {
      yield piece;
      continue;
    }
    const { index, content, logprob, finish, usage } = piece;
    if (usage) usages[index] = usage;
    const first = !begun.has(index);
    begun.add(index);
    if (!(first || content || logprob || finish)) continue;
    const delta = { ...(first ? { role: "assistant" } : {}), ...(finish ? {} : { content }) };
    const logprobs = logprob ? { content: [logprob], refusal: null } : null;
    const cost = usage ? { biform: costOf([usage]) } : {};
    yield { data: { ...head, choices: [{ index, delta, logprobs, finish_reason: finish }], ...told, ...cost } };
  }
  if (options?.include_usage)
    yield { data: { ...head, choices: [], usage: usageOf(usages, n), biform: costOf(usages) } };
  yield { data: "[DONE]" };
}
