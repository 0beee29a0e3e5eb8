import { FormatError } from "../tensor/error.ts";
import type { Message } from "../tokenizer/template.ts";
import { Problem } from "./errors.ts";
import type { ChatBody, ChatMessage } from "./schema/chat.ts";
import type { Served } from "./served.ts";

/**
 * A conversation as the model's own template writes it, up to where its answer begins, in ids.
 *
 * Errors: Problem with status 400 where the model has no template or tokenizer, or its template refuses the messages.
 */
export async function promptOf(
  { template, tokenizer, name, path }: Served,
  { messages }: ChatBody,
): Promise<Int32Array> {
  if (!template || !tokenizer)
    throw new Problem(
      400,
      `model: got ${name}, which has no ${tokenizer ? "chat template" : "tokenizer"}, expected one with it; use /v1/completions`,
      {
        param: "model",
        code: "no_chat_template",
      },
    );
  try {
    // The template writes special tokens itself, so that none are added to it.
    return tokenizer.encode(await template.render(messages.map(messageOf)));
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    // Where the model lies on this machine is nobody's business.
    throw new Problem(400, error.message.replaceAll(path, name), {
      param: "messages",
      code: "template_error",
      cause: error,
    });
  }
}

/** A message as templates know them: content as one text, and the role that instructions had before they had "developer". */
function messageOf(message: ChatMessage): Message {
  const { role, content, ...rest } = message;
  return { ...rest, role: role === "developer" ? "system" : role, content: textOf(content) };
}

/** Parts of a text are lines of it, as vLLM joins them. */
function textOf(content: ChatMessage["content"]): string {
  return typeof content === "string" ? content : (content ?? []).map(({ text }) => text).join("\n");
}
