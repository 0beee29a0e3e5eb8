import { FormatError } from "../tensor/error.ts";
import { applyTemplate } from "../tokenizer/apply.ts";
import { parseExact } from "../tokenizer/jinja/exact.ts";
import type { Message, Template } from "../tokenizer/template.ts";
import { argumentsAs } from "./calls.ts";
import { encodeText } from "./encode.ts";
import { Problem, refuseParameter } from "./errors.ts";
import type { Tool } from "./schema/calling.ts";
import type { ChatBody, ChatMessage } from "./schema/chat.ts";
import type { Served } from "./served.ts";

/** A conversation as a request has it. */
export type Conversation = Pick<ChatBody, "messages" | "reasoning_effort" | "chat_template_kwargs"> & {
  /** Those that are written into the prompt. */
  readonly tools?: readonly Tool[] | undefined;
};

/** A conversation as the model reads it. */
export interface Prompt {
  readonly ids: Int32Array;
  readonly text: string;
}

/**
 * A conversation as the model's own template writes it, up to where its answer begins.
 *
 * Errors: Problem with status 400 where the model has no template or tokenizer, its template refuses the messages, or a value is
 * given that it does not read.
 */
export async function promptOf(served: Served, asked: Conversation): Promise<Prompt> {
  const { template, tokenizer, name, path } = served;
  if (!template || !tokenizer)
    throw new Problem(
      400,
      `model: got ${name}, which has no ${tokenizer ? "chat template" : "tokenizer"}, expected one with it; use /v1/completions`,
      { param: "model", code: "no_chat_template" },
    );
  const values = valuesOf(template.source ?? "", asked);
  try {
    const messages = await messagesOf(template, asked.messages);
    const text = await applyTemplate(template, messages, { tools: asked.tools?.map(toolOf), values });
    const untold = asked.tools?.find((tool) => !text.includes(tool.function.name));
    if (untold)
      throw refuseParameter(
        "tools",
        `got ${untold.function.name} for ${name}, expected none: its template writes no tools into a prompt`,
      );
    // The template writes special tokens itself, so that none are added to it.
    return { text, ids: encodeText(served, tokenizer, text, { param: "messages", around: false }) };
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    // Where the model lies on this machine is nobody's business.
    const options = { param: "messages", code: "template_error", cause: error };
    throw new Problem(400, error.message.replaceAll(path, name), options);
  }
}

/** Names that a template is given otherwise. */
const own: ReadonlySet<string> = new Set([
  "messages",
  "tools",
  "documents",
  "add_generation_prompt",
  "bos_token",
  "eos_token",
]);

/** What the template is given beside messages and tools. Throws Problem for what it does not read: it would change nothing. */
function valuesOf(source: string, { chat_template_kwargs: kwargs = {}, reasoning_effort: effort }: Conversation) {
  const reads = (key: string) => new RegExp(`(?<![\\w$])${key.replace(/\W/g, "\\$&")}(?![\\w$])`).test(source);
  for (const key of Object.keys(kwargs))
    if (own.has(key) || !reads(key))
      throw unread(
        `chat_template_kwargs.${key.slice(0, 80)}`,
        own.has(key) ? "is given otherwise" : "this model's template does not read",
      );
  if (effort === undefined || Object.hasOwn(kwargs, "reasoning_effort")) return kwargs;
  if (reads("reasoning_effort")) return { reasoning_effort: effort, ...kwargs };
  const knob = ["enable_thinking", "thinking"].find(reads);
  if (knob === undefined) throw unread("reasoning_effort", "this model's template does not read");
  return { [knob]: effort !== "none", ...kwargs };
}

function unread(param: string, why: string): Problem {
  return refuseParameter(param, `got a value that ${why}, expected it left out`);
}

/** A tool as templates read it: parameters are always there. */
function toolOf({ type, function: { strict: _, ...definition } }: Tool) {
  return { type, function: { ...definition, parameters: definition.parameters ?? { type: "object", properties: {} } } };
}

async function messagesOf(template: Template, messages: readonly ChatMessage[]): Promise<Message[]> {
  const some = messages.some((message) => message.role === "assistant" && message.tool_calls?.length);
  const as = some ? await argumentsAs(template) : "object";
  return messages.map((message, i) => messageOf(message, i, as));
}

/** A message as templates know them: content as one text, and the role that instructions had before they had "developer". */
function messageOf(message: ChatMessage, i: number, as: "object" | "text"): Message {
  if (message.role !== "assistant") {
    const { role, content, ...rest } = message;
    return { ...rest, role: role === "developer" ? "system" : role, content: textOf(content) };
  }
  const { role, content: said, tool_calls: calls, refusal, ...rest } = message;
  if (said != null && refusal != null)
    throw wrongMessage(`messages[${i}].refusal`, "got one beside content, expected one of them", "invalid_value");
  const content = said ?? refusal;
  if (!calls?.length) {
    if (content == null && rest.reasoning_content == null)
      throw wrongMessage(`messages[${i}].content`, "got nothing, expected text, or tool_calls", "missing_parameter");
    return { ...rest, role, content: textOf(content ?? "") };
  }
  const read = calls.map((call, j) => {
    const { name, arguments: text } = call.function;
    const value = parseArguments(text, `messages[${i}].tool_calls[${j}].function.arguments`);
    return { ...call, function: { name, arguments: as === "text" ? text : value } };
  });
  return { ...rest, role, content: content == null ? null : textOf(content), tool_calls: read };
}

function wrongMessage(param: string, message: string, code: string): Problem {
  return new Problem(400, `${param}: ${message}`, { param, code });
}

/** Parts of a text are lines of it, as vLLM joins them. */
export function textOf(content: string | readonly { readonly text: string }[]): string {
  return typeof content === "string" ? content : content.map(({ text }) => text).join("\n");
}

function parseArguments(text: string, param: string): object {
  try {
    const value: unknown = text.trim() === "" ? {} : parseExact(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  } catch {}
  throw wrongMessage(
    param,
    `got ${JSON.stringify(text.slice(0, 80))}, expected the text of a JSON object`,
    "invalid_value",
  );
}
