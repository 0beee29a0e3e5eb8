import type { Context } from "hono";
import type { Request, Usage } from "../batch/request.ts";
import { textStream } from "../tokenizer/stream.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { requestsOf } from "./ask.ts";
import { readBody } from "./body.ts";
import { encodeText } from "./encode.ts";
import { Problem } from "./errors.ts";
import type { Env } from "./guard.ts";
import { beginWork, fingerprintOf, type Hall, newId, now, type Work } from "./hall.ts";
import { type CompletionBody, completionBody } from "./schema/completion.ts";
import { unsupported } from "./schema/sampling.ts";
import type { Served } from "./served.ts";
import { WIDE } from "./speak.ts";
import { addLegacy, noLogprobs, spellerOf } from "./spell.ts";
import { openStream, type Part, type Remark } from "./stream.ts";
import { together } from "./together.ts";
import { costOf, finishOf, usageOf } from "./usage.ts";

/** As OpenAI's API has it. */
const DEFAULT_TOKENS = 16;

/** A prompt as ids, and as the text that `echo` gives back. */
interface Prompt {
  readonly ids: Int32Array;
  readonly text: string;
}

/** What one choice's event adds to it. */
interface Piece {
  readonly index: number;
  readonly text: string;
  readonly logprobs: ReturnType<typeof noLogprobs> | null;
  readonly finish: "stop" | "length" | null;
  readonly usage?: Usage;
}

/** POST /v1/completions. */
export async function complete(c: Context<Env>, hall: Hall): Promise<Response> {
  const body = await readBody(c, completionBody, unsupported);
  const work = await beginWork(c, hall, body.model);
  try {
    const prompts = promptsOf(work.served, body);
    const requests = prompts.flatMap(({ ids }) =>
      requestsOf(work.served, body, {
        ids,
        maxTokens: body.max_tokens ?? DEFAULT_TOKENS,
        logprobs: body.logprobs,
        promptLogprobs: body.echo ? body.logprobs : undefined,
        realm: work.realm,
        signal: work.signal,
      }),
    );
    const head = { id: newId("cmpl-"), object: "text_completion", created: now(), model: work.served.name };
    const shared = { ...head, system_fingerprint: fingerprintOf(hall) };
    const pieces = piecesOf(hall, work, body, prompts, requests);
    if (body.stream) return await openStream(chunksOf(pieces, body, shared), { tell: hall.tell });
    return c.json({ ...shared, ...(await gather(pieces, body, requests.length)) });
  } catch (error) {
    work.end();
    throw error;
  }
}

function promptsOf(served: Served, { prompt, add_special_tokens: around = true }: CompletionBody): Prompt[] {
  const { tokenizer, name } = served;
  const one = (given: string | readonly number[]): Prompt => {
    if (typeof given !== "string")
      return {
        ids: Int32Array.from(given),
        text: tokenizer?.decode(given.filter((id) => id < tokenizer.vocabulary)) ?? "",
      };
    if (!tokenizer)
      throw new Problem(400, `prompt: got text, expected token ids: ${name} has no tokenizer`, { param: "prompt" });
    return { ids: encodeText(served, tokenizer, given, { param: "prompt", around }), text: given };
  };
  if (typeof prompt === "string") return [one(prompt)];
  return isIds(prompt) ? [one(prompt)] : prompt.map(one);
}

function isIds(prompt: readonly unknown[]): prompt is number[] {
  return typeof prompt[0] === "number";
}

/** What each event adds to its choice: the prompt too, where it is echoed. */
async function* piecesOf(
  { metrics }: Hall,
  work: Work,
  body: CompletionBody,
  prompts: readonly Prompt[],
  requests: readonly Request[],
): AsyncGenerator<Piece | Remark, void, undefined> {
  const { served, end } = work;
  const spell = spellerOf(served.tokenizer);
  const n = body.n ?? 1;
  const wanted = body.logprobs !== undefined;
  const offsets = requests.map(() => 0);
  const runs = requests.map((request) => () => served.engine.submit(request));
  try {
    for await (const { index, event } of together(runs, WIDE, end)) {
      const prompt = prompts[Math.floor(index / n)]!;
      const logprobs = wanted ? noLogprobs() : null;
      if (event.kind === "prompt" && body.echo) {
        const starts = logprobs ? startsOf(prompt, served.tokenizer) : [];
        for (const [i, at] of starts.entries()) addLegacy(logprobs!, spell, prompt.ids[i]!, event.scores?.[i - 1], at);
        offsets[index]! += prompt.text.length;
        yield { index, text: prompt.text, logprobs, finish: null };
      } else if (event.kind === "token") {
        if (logprobs) addLegacy(logprobs, spell, event.id, event.score, offsets[index]!);
        offsets[index]! += event.text.length;
        yield { index, text: event.text, logprobs, finish: null };
      } else if (event.kind === "queued") yield { comment: `queued at place ${event.place}` };
      else if (event.kind === "end") {
        if (event.finish === "abort") work.check();
        metrics.observe(served.name, event.usage);
        yield { index, text: "", logprobs, finish: finishOf(event.finish), usage: event.usage };
      }
    }
  } finally {
    end();
  }
}

/** Where each token of a prompt begins in its text; special tokens around it, which the text has not, take no room in it. */
function startsOf({ ids, text }: Prompt, tokenizer: Tokenizer | undefined): number[] {
  const stream = tokenizer && textStream(tokenizer);
  let at = 0;
  return Array.from(ids, (id) => {
    const start = at;
    const piece = stream?.push(id) ?? "";
    if (!tokenizer?.special.has(id) || text.startsWith(piece, at)) at = Math.min(text.length, at + piece.length);
    return start;
  });
}

async function gather(
  pieces: AsyncIterable<Piece | Remark>,
  { n = 1, logprobs: wanted }: CompletionBody,
  count: number,
) {
  const choices = Array.from({ length: count }, (_, index) => ({
    text: "",
    index,
    logprobs: wanted === undefined ? null : noLogprobs(),
    finish_reason: null as Piece["finish"],
  }));
  const usages: Usage[] = [];
  for await (const piece of pieces) {
    if ("comment" in piece) continue;
    const { index, text, logprobs, finish, usage } = piece;
    const choice = choices[index]!;
    choice.text += text;
    if (logprobs && choice.logprobs) append(choice.logprobs, logprobs);
    choice.finish_reason = finish;
    if (usage) usages[index] = usage;
  }
  return { choices, usage: usageOf(usages, n), biform: costOf(usages) };
}

function append(to: ReturnType<typeof noLogprobs>, more: ReturnType<typeof noLogprobs>): void {
  for (const i of more.tokens.keys()) {
    to.tokens.push(more.tokens[i]!);
    to.token_logprobs.push(more.token_logprobs[i]!);
    to.top_logprobs.push(more.top_logprobs[i]!);
    to.text_offset.push(more.text_offset[i]!);
  }
}

async function* chunksOf(
  pieces: AsyncGenerator<Piece | Remark, void, undefined>,
  { n = 1, stream_options: options, logprobs: wanted }: CompletionBody,
  head: object,
): AsyncGenerator<Part, void, undefined> {
  const told = options?.include_usage ? { usage: null } : {};
  const usages: Usage[] = [];
  for await (const piece of pieces) {
    if ("comment" in piece) {
      yield piece;
      continue;
    }
    const { index, text, logprobs, finish, usage } = piece;
    if (usage) usages[index] = usage;
    if (text === "" && !finish && !(wanted !== undefined && logprobs?.tokens.length)) continue;
    const cost = usage ? { biform: costOf([usage]) } : {};
    yield { data: { ...head, choices: [{ text, index, logprobs, finish_reason: finish }], ...told, ...cost } };
  }
  if (options?.include_usage)
    yield { data: { ...head, choices: [], usage: usageOf(usages, n), biform: costOf(usages) } };
  yield { data: "[DONE]" };
}
