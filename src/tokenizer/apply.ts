import type { Message, RenderOptions, Template } from "./template.ts";

/** Names of what a model thought, the usual one first. */
const THOUGHTS = ["reasoning_content", "thinking", "reasoning"] as const;

/**
 * Renders a conversation as transformers' `apply_chat_template` does (5.24.0), which does more than the template: keys of a message
 * that are null are left out, what a model thought goes by the names `reasoning_content` and `thinking` whatever it was given as, and
 * tools and documents that there are not are none, where a template alone would find them undefined.
 *
 * Errors: those of the template's `render`.
 */
export function applyTemplate(
  template: Template,
  messages: readonly Message[],
  { tools = null, documents = null, ...options }: RenderOptions = {},
): Promise<string> {
  return template.render(messages.map(completeMessage), { tools, documents, ...options });
}

function completeMessage(message: Message): Message {
  const entries = Object.entries(message).filter(([, value]) => value !== null && value !== undefined);
  const given = Object.fromEntries(entries) as Record<string, unknown> & Message;
  const name = THOUGHTS.find((one) => given[one] !== undefined);
  if (name === undefined) return given;
  return { thinking: given[name], ...given, reasoning_content: given[name] };
}
