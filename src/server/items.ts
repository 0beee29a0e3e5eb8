import { newId } from "./hall.ts";
import type { Delta } from "./parse/parser.ts";
import type { Logprob, Piece } from "./speak.ts";

/** An event of the Responses API, without its number. */
export interface Told {
  readonly type: string;
  readonly [key: string]: unknown;
}

interface Common {
  readonly id: string;
  status: "in_progress" | "completed" | "incomplete";
}

/** What an answer is made of. */
export type OutputItem = Common &
  (
    | { readonly type: "message"; readonly role: "assistant"; content: TextPart[] }
    | { readonly type: "reasoning"; readonly summary: never[]; content: ThoughtPart[] }
    | { readonly type: "function_call"; readonly call_id: string; readonly name: string; arguments: string }
  );

interface TextPart {
  readonly type: "output_text";
  text: string;
  readonly annotations: never[];
  readonly logprobs: Logprob[];
}

interface ThoughtPart {
  readonly type: "reasoning_text";
  text: string;
}

/** The items of an answer as they grow, and the events that tell of it: added, delta, done. */
export class Output {
  readonly items: OutputItem[] = [];
  /** The message or the thoughts that still grow. */
  #open: Extract<OutputItem, { content: unknown }> | undefined;

  /** Log probabilities of tokens whose text has yet to come. */
  #scores: Logprob[] = [];

  /** What a piece adds. */
  *take({ deltas, logprob }: Piece): Generator<Told> {
    if (logprob) this.#scores.push(logprob);
    for (const delta of deltas) {
      if (delta.call) yield* this.#call(delta.call);
      else yield* this.#grow(delta);
    }
  }

  /** Ends what still grows. */
  *end(status: "completed" | "incomplete"): Generator<Told> {
    yield* this.#close(status);
  }

  *#grow({ content, reasoning }: Delta): Generator<Told> {
    const type = content === undefined ? "reasoning" : "message";
    if (this.#open?.type !== type) {
      yield* this.#close("completed");
      yield* this.#begin(type);
    }
    const item = this.#open!;
    const place = { item_id: item.id, output_index: this.items.length - 1, content_index: 0 };
    const logprobs = this.#scores.splice(0);
    if (item.type === "message") {
      const [part] = item.content;
      part!.text += content;
      part!.logprobs.push(...logprobs);
      yield { type: "response.output_text.delta", ...place, delta: content, logprobs };
    } else {
      item.content[0]!.text += reasoning;
      yield { type: "response.reasoning_text.delta", ...place, delta: reasoning };
    }
  }

  *#begin(type: "message" | "reasoning"): Generator<Told> {
    const item: Extract<OutputItem, { content: unknown }> =
      type === "message"
        ? { id: newId("msg_"), type, status: "in_progress", role: "assistant", content: [] }
        : { id: newId("rs_"), type, status: "in_progress", summary: [], content: [] };
    const output_index = this.items.push(item) - 1;
    yield { type: "response.output_item.added", output_index, item: structuredClone(item) };
    if (item.type === "message") item.content.push({ type: "output_text", text: "", annotations: [], logprobs: [] });
    else item.content.push({ type: "reasoning_text", text: "" });
    const part = structuredClone(item.content[0]);
    yield { type: "response.content_part.added", item_id: item.id, output_index, content_index: 0, part };
    this.#open = item;
  }

  *#close(status: "completed" | "incomplete"): Generator<Told> {
    const item = this.#open;
    if (!item) return;
    this.#open = undefined;
    item.status = status;
    const output_index = this.items.length - 1;
    const place = { item_id: item.id, output_index, content_index: 0 };
    const [part] = item.content;
    if (part!.type === "output_text") {
      part!.logprobs.push(...this.#scores.splice(0));
      yield { type: "response.output_text.done", ...place, text: part!.text, logprobs: part!.logprobs };
    } else yield { type: "response.reasoning_text.done", ...place, text: part!.text };
    yield { type: "response.content_part.done", ...place, part };
    yield { type: "response.output_item.done", output_index, item };
  }

  *#call({ id = newId("call_"), name, arguments: text }: NonNullable<Delta["call"]>): Generator<Told> {
    // What a call is written with is no text of a message.
    this.#scores.length = 0;
    yield* this.#close("completed");
    const begun = { id: newId("fc_"), type: "function_call" as const, call_id: id, name };
    const item: OutputItem = { ...begun, status: "completed", arguments: text };
    const output_index = this.items.push(item) - 1;
    const place = { item_id: item.id, output_index };
    yield {
      type: "response.output_item.added",
      output_index,
      item: { ...begun, status: "in_progress", arguments: "" },
    };
    yield { type: "response.function_call_arguments.delta", ...place, delta: text };
    yield { type: "response.function_call_arguments.done", ...place, name, arguments: text };
    yield { type: "response.output_item.done", output_index, item };
  }
}
