import { newId } from "./hall.ts";
import type { Logprob, Piece } from "./speak.ts";

/** A message as an answer has it. */
export interface Answer {
  role: "assistant";
  /** None where it is made of calls alone. */
  content: string | null;
  reasoning_content?: string;
  refusal: null;
  tool_calls?: { id: string; type: "function"; function: { name: string; arguments: string } }[];
}

/** An answer that is put together from its pieces. */
export interface Choice {
  readonly message: Answer;
  readonly logprobs: readonly Logprob[];
  readonly finish: Piece["finish"] | null;
  take(piece: Piece): void;
}

/** An answer of which nothing has come yet. */
export function newChoice(): Choice {
  const message: Answer = { role: "assistant", content: "", refusal: null };
  const logprobs: Logprob[] = [];
  let finish: Piece["finish"] | null = null;
  return {
    message,
    logprobs,
    get finish() {
      return finish;
    },
    take({ deltas, logprob, finish: end }) {
      for (const { content, reasoning, call } of deltas) {
        if (content !== undefined) message.content += content;
        if (reasoning !== undefined) message.reasoning_content = (message.reasoning_content ?? "") + reasoning;
        if (!call) continue;
        const { id = newId("call_"), name, arguments: text } = call;
        message.tool_calls ??= [];
        message.tool_calls.push({ id, type: "function", function: { name, arguments: text } });
      }
      if (logprob) logprobs.push(logprob);
      if (!end) return;
      finish = end;
      if (message.tool_calls && message.content === "") message.content = null;
    },
  };
}
