/** The server's API, of this page's own origin: models, and answers as they are written. */
import { readEvents } from "./events.ts";
import { type Figures, readFigures } from "./figures.ts";
import { Break, readRefusal } from "./problem.ts";
import type { Settings, Turn } from "./tree.ts";

/** A model that the server has. */
export interface Model {
  readonly id: string;
  /** Most tokens of a prompt and its answer, where it says so. */
  readonly context: number | undefined;
}

/** What arrives of an answer, in this order but for calls and text. */
export type Piece =
  | { readonly kind: "queued"; readonly place: number }
  | { readonly kind: "text" | "reasoning"; readonly text: string }
  | { readonly kind: "call"; readonly index: number; readonly id: string; readonly name: string; readonly text: string }
  | { readonly kind: "finish"; readonly reason: string }
  | { readonly kind: "figures"; readonly figures: Figures };

type Json = Readonly<Record<string, unknown>>;

const storedKey = "biform.key";

/** The API key of this tab: it is forgotten when the tab is closed. */
export const apiKey = (): string => sessionStorage.getItem(storedKey) ?? "";

/** Keeps the API key for this tab; an empty one is forgotten. */
export function setApiKey(key: string): void {
  if (key === "") sessionStorage.removeItem(storedKey);
  else sessionStorage.setItem(storedKey, key);
}

/** Asks the server; what is not a success is thrown as a Refusal. */
async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (apiKey()) headers.set("authorization", `Bearer ${apiKey()}`);
  // Relative to the page, so that both may lie under any path of a proxy.
  const response = await fetch(`v1/${path}`, { ...init, headers, credentials: "same-origin" });
  if (response.ok) return response;
  throw readRefusal(response.status, await response.text(), response.headers.get("retry-after"));
}

const asObject = (value: unknown): Json => (typeof value === "object" && value !== null ? (value as Json) : {});
const asText = (value: unknown): string => (typeof value === "string" ? value : "");

/** The models, in the server's order. */
export async function listModels(): Promise<Model[]> {
  const { data } = asObject(await (await ask("models")).json());
  if (!Array.isArray(data)) throw new Error("/v1/models: got no list, expected `data`; see what serves this page");
  return data.map(asObject).flatMap((model) => {
    if (typeof model.id !== "string") return [];
    const told = [
      model.context_length,
      model.max_model_len,
      asObject(model.biform).context,
      asObject(model.meta).n_ctx,
    ];
    const context = told.find((length): length is number => typeof length === "number" && length > 0);
    return [{ id: model.id, context }];
  });
}

/** A turn as the API has it. Reasoning stays out of it, as templates leave that of earlier turns out. */
function asMessage({ role, text, calls }: Turn): Json {
  if (!calls?.length) return { role, content: text };
  const tool_calls = calls.map(({ id, name, arguments: given }) => ({
    id,
    type: "function",
    function: { name, arguments: given },
  }));
  return { role, content: text, tool_calls };
}

/** What one chunk says; more than one thing where a server puts figures beside text. */
function* readChunk(chunk: Json): Generator<Piece> {
  const choice = asObject(Array.isArray(chunk.choices) ? chunk.choices[0] : undefined);
  const delta = asObject(choice.delta);
  const reasoning = asText(delta.reasoning_content) || asText(delta.reasoning);
  if (reasoning) yield { kind: "reasoning", text: reasoning };
  const text = asText(delta.content) || asText(delta.refusal);
  if (text) yield { kind: "text", text };
  for (const call of Array.isArray(delta.tool_calls) ? delta.tool_calls.map(asObject) : []) {
    const { name, arguments: given } = asObject(call.function);
    const index = typeof call.index === "number" ? call.index : 0;
    yield { kind: "call", index, id: asText(call.id), name: asText(name), text: asText(given) };
  }
  if (typeof choice.finish_reason === "string") yield { kind: "finish", reason: choice.finish_reason };
  const figures = readFigures(chunk);
  if (Object.keys(figures).length > 0) yield { kind: "figures", figures };
}

/** What the server remarks where the API has no word for it: a place in the queue, and what of a prompt it had already. */
function* readComment(comment: string): Generator<Piece> {
  const place = /^queued at place (\d+)$/.exec(comment)?.[1];
  if (place) yield { kind: "queued", place: Number(place) };
  const [, prompt, cached] = /^read (\d+) tokens, (\d+) of them cached$/.exec(comment) ?? [];
  if (prompt && cached) yield { kind: "figures", figures: { prompt: Number(prompt), cached: Number(cached) } };
}

/**
 * Asks for an answer to the turns of a conversation, and gives it piece by piece. Throws a Refusal where the server says no,
 * before or midway, and a Break where the stream ends before the answer does.
 */
export async function* askChat(
  model: string,
  turns: readonly Turn[],
  { system, ...sampling }: Settings,
  signal: AbortSignal,
): AsyncGenerator<Piece, void, undefined> {
  const messages = [...(system ? [{ role: "system", content: system }] : []), ...turns.map(asMessage)];
  const { body } = await ask("chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model, messages, stream: true, stream_options: { include_usage: true }, ...sampling }),
    signal,
  });
  let ended = false;
  for await (const { data, comment } of readEvents(body!)) {
    if (comment !== undefined) yield* readComment(comment);
    if (data === undefined) continue;
    if (data.trim() === "[DONE]") return;
    const chunk = asObject(JSON.parse(data));
    if (chunk.error) throw readRefusal(200, data, null);
    for (const piece of readChunk(chunk)) {
      ended ||= piece.kind === "finish";
      yield piece;
    }
  }
  if (!ended) throw new Break();
}
