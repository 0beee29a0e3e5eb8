import { randomInt } from "node:crypto";
import { type Constraint, checkFits, type Refused, type Request } from "../batch/request.ts";
import type { Sampling } from "../generate/sampling.ts";
import { Problem } from "./errors.ts";
import type { Shared } from "./schema/sampling.ts";
import type { Served } from "./served.ts";

/** What an endpoint adds to them. */
export interface Asked {
  readonly ids: Int32Array;
  readonly maxTokens: number | undefined;
  readonly logprobs?: number | undefined;
  readonly promptLogprobs?: number | undefined;
  /** Whether special tokens are part of the text, for those who parse them. */
  readonly special?: Request["special"];
  /** One for each answer. */
  readonly constraints?: readonly Constraint[] | undefined;
  readonly realm: string;
  readonly signal: AbortSignal;
}

/**
 * One request to the engine for each of `n` answers. What the request does not say, the model's generation_config.json does.
 *
 * Errors: Problem with status 400 for no ids, for ids outside the vocabulary and for more tokens than the context has.
 */
export function requestsOf(served: Served, body: Shared, asked: Asked): Request[] {
  const { ids, maxTokens, logprobs, promptLogprobs, realm, signal, constraints } = asked;
  checkIds(served, ids, "prompt");
  if (ids.length === 0)
    throw new Problem(400, "prompt: got no tokens, expected one at least", { param: "prompt", code: "invalid_value" });
  checkRoom(served, body, { ids, maxTokens });
  if (body.stream_options && !body.stream)
    throw new Problem(400, "stream_options: got some without stream, expected stream: true", {
      param: "stream_options",
      code: "invalid_value",
    });
  const { n = 1, stop, stop_token_ids: more = [], ignore_eos: endless = false, cache_salt: salt } = body;
  checkIds(served, more, "stop_token_ids");
  const seed = body.seed ?? randomInt(2 ** 31);
  const special = body.skip_special_tokens === false ? "keep" : (asked.special ?? "omit");
  return Array.from({ length: n }, (_, i) => ({
    ...samplingOf(served, body),
    seed: seed + i,
    ids,
    maxTokens,
    logprobs,
    promptLogprobs,
    stop: stop === undefined ? undefined : [stop].flat(),
    end: new Set([...(endless ? [] : served.end), ...more]),
    special,
    bias: biasOf(served, body.logit_bias),
    constraint: constraints?.[i],
    realm: salt === undefined ? realm : `${realm} ${salt}`,
    signal,
  }));
}

function samplingOf({ sampling }: Served, body: Shared): Sampling {
  const given = {
    temperature: body.temperature,
    topP: body.top_p,
    topK: body.top_k === -1 ? 0 : body.top_k,
    minP: body.min_p,
    repetitionPenalty: body.repetition_penalty,
    presencePenalty: body.presence_penalty,
    frequencyPenalty: body.frequency_penalty,
  };
  return { ...sampling, ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) };
}

/** Throws Problem for an id outside the vocabulary. */
export function checkIds({ vocabulary, name }: Served, ids: ArrayLike<number>, param: string): void {
  for (let i = 0; i < ids.length; i++)
    if (ids[i]! >= vocabulary)
      throw new Problem(
        400,
        `${param}: got the id ${ids[i]} at ${i}, expected less than ${vocabulary}, the vocabulary of ${name}`,
        {
          param,
          code: "invalid_value",
        },
      );
}

/** Throws Problem where prompt and answer never fit, naming what of the body is too large. */
function checkRoom({ context, name }: Served, body: object, asked: Pick<Asked, "ids" | "maxTokens">): void {
  try {
    checkFits(asked, context, `the context of ${name}`);
  } catch (error) {
    const { message, part } = error as Refused;
    const bounds = ["max_completion_tokens", "max_output_tokens", "max_tokens"] as const;
    const param = part === "prompt" ? part : bounds.find((bound) => Object.hasOwn(body, bound));
    throw new Problem(400, message, { param: param ?? "max_tokens", code: "context_length_exceeded", cause: error });
  }
}

function biasOf(served: Served, given: Shared["logit_bias"]): ReadonlyMap<number, number> | undefined {
  if (!given) return undefined;
  const bias = new Map(Object.entries(given).map(([id, amount]) => [Number(id), amount]));
  checkIds(served, [...bias.keys()], "logit_bias");
  return bias;
}
