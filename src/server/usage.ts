import type { Event, Usage } from "../batch/request.ts";

/** How a sequence ended, in OpenAI's words. */
export function finishOf(finish: Extract<Event, { kind: "end" }>["finish"]): "stop" | "length" {
  return finish === "length" || finish === "context" ? "length" : "stop";
}

/** Tokens as OpenAI's API counts them: a prompt with several answers once. */
export interface TokenUsage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number };
  readonly completion_tokens_details?: { readonly reasoning_tokens: number } | undefined;
}

/** `usages` of all sequences, of which each `n` in a row answer one prompt, and the tokens of their thoughts, where these are told. */
export function usageOf(usages: readonly Usage[], n: number, thoughts?: readonly number[]): TokenUsage {
  const prompts = usages.filter((_, i) => i % n === 0);
  const prompt_tokens = total(prompts, ({ prompt }) => prompt);
  const completion_tokens = total(usages, ({ written }) => written);
  return {
    prompt_tokens,
    completion_tokens,
    total_tokens: prompt_tokens + completion_tokens,
    prompt_tokens_details: { cached_tokens: total(prompts, ({ cached }) => cached) },
    completion_tokens_details: thoughts && { reasoning_tokens: thoughts.reduce((sum, one) => sum + one, 0) },
  };
}

/** What an answer cost here, beside OpenAI's own fields. */
export interface Cost {
  /** Tokens of the prompt that were run in a second, the cached ones left out; null where none was. */
  readonly prompt_tokens_per_second: number | null;
  /** Tokens written in a second, from the first on; null for one token alone. */
  readonly tokens_per_second: number | null;
  /** In the queue, until the first token, and from there to the last. */
  readonly seconds: { readonly waited: number; readonly first: number; readonly writing: number };
  readonly cached_tokens: number;
  /** Bytes of cache that the sequences held, shared ones included. */
  readonly cache_bytes: number;
  /** Tokens times layers that ran in each form of attention. */
  readonly forms: Readonly<Record<string, number>>;
}

/** The cost of all sequences of a request, which ran beside each other: the longest times, and sums of all else. */
export function costOf(usages: readonly Usage[]): Cost {
  const longest = (of: (usage: Usage) => number) => usages.reduce((most, usage) => Math.max(most, of(usage)), 0);
  const seconds = {
    waited: longest(({ waited }) => waited),
    first: longest(({ first }) => first),
    writing: longest(({ writing }) => writing),
  };
  const forms: Record<string, number> = {};
  for (const usage of usages)
    for (const [form, count] of Object.entries(usage.forms)) forms[form] = (forms[form] ?? 0) + count;
  const rate = (tokens: number, time: number) => (tokens > 0 && time > 0 ? tokens / time : null);
  return {
    prompt_tokens_per_second: rate(
      total(usages, ({ prompt, cached }) => prompt - cached),
      seconds.first,
    ),
    tokens_per_second: rate(
      total(usages, ({ written }) => Math.max(0, written - 1)),
      seconds.writing,
    ),
    seconds,
    cached_tokens: total(usages, ({ cached }) => cached),
    cache_bytes: total(usages, ({ bytes }) => bytes),
    forms,
  };
}

function total(usages: readonly Usage[], of: (usage: Usage) => number): number {
  return usages.reduce((sum, usage) => sum + of(usage), 0);
}
