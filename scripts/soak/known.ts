import { Random } from "../../src/tensor/random.ts";
import { post, type Target } from "./ask.ts";

/** A request whose answer is known. */
export interface Known {
  readonly path: "/v1/chat/completions" | "/v1/completions";
  readonly body: { readonly model: string; readonly [key: string]: unknown };
  /** Its answer alone, by the likeliest tokens. */
  readonly text: string;
  readonly prompt: number;
}

/** Log probabilities of the best two tokens that differ by less are decided by the order of sums, which who runs beside it changes. */
const CLEAR = 1e-3;
const words = "ships carry salt over cold water while bells ring in towns of stone and every lamp burns low".split(" ");

/** Requests for each model, each asked alone and with a salt of its own, so that nothing of another can be in its answer. */
export async function askAlone(target: Target, models: readonly string[]): Promise<Known[]> {
  const known: Known[] = [];
  for (const model of models)
    for (const [i, asked] of requestsOf(model).entries()) {
      const chat = "messages" in asked.body;
      const scores = chat ? { logprobs: true, top_logprobs: 2 } : { logprobs: 2 };
      const response = await post(target, asked.path, { ...asked.body, ...scores, cache_salt: `alone ${i}` });
      if (response.status !== 200) throw new Error(`alone: got ${response.status}: ${await response.text()}`);
      const { choices, usage } = await response.json();
      const tops: number[][] = chat
        ? choices[0].logprobs.content.map(({ top_logprobs: top }: { top_logprobs: { logprob: number }[] }) =>
            top.map(({ logprob }) => logprob),
          )
        : choices[0].logprobs.top_logprobs.map((top: Record<string, number>) => Object.values(top));
      const clear = tops.every((top) => Math.abs(top[0]! - top[1]!) > CLEAR);
      const text: string = chat ? choices[0].message.content : choices[0].text;
      if (clear) known.push({ ...asked, text, prompt: usage.prompt_tokens });
    }
  return known;
}

/** Conversations and ids of many lengths; some begin with what others begin with. */
function requestsOf(model: string): Pick<Known, "path" | "body">[] {
  const random = new Random(7);
  const say = (count: number) => Array.from({ length: count }, () => words[random.integer(words.length)]).join(" ");
  const settings = (count: number) => ({ model, temperature: 0, ignore_eos: true, max_tokens: count });
  const systems = [8, 60].map(say);
  const starts = [40, 150].map((count) => Array.from({ length: count }, () => random.integer(256)));
  return Array.from({ length: 24 }, (_, i) => {
    const count = [3, 12, 40, 90][i % 4]!;
    if (i % 2) {
      const own = Array.from({ length: 1 + random.integer(60) }, () => random.integer(256));
      return { path: "/v1/completions", body: { ...settings(count), prompt: [...(starts[i % 3] ?? []), ...own] } };
    }
    const messages = [{ role: "system", content: systems[(i / 2) % 2]! }];
    for (let turn = 0; turn < i % 5; turn++)
      messages.push({ role: "user", content: say(5) }, { role: "assistant", content: say(9) });
    messages.push({ role: "user", content: say(1 + random.integer(12)) });
    return { path: "/v1/chat/completions", body: { ...settings(count), messages } };
  });
}
