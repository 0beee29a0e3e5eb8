import { textOf } from "./prompt.ts";
import type { ChatMessage } from "./schema/chat.ts";
import type { Item, ResponseBody } from "./schema/response.ts";

type Assistant = Extract<ChatMessage, { role: "assistant" }>;

/** A request's items as messages: what a model thought, said and called in a row is one message of its own. */
export function messagesOf({ input, instructions }: ResponseBody): ChatMessage[] {
  const messages: ChatMessage[] = instructions === undefined ? [] : [{ role: "system", content: instructions }];
  if (typeof input === "string") return [...messages, { role: "user", content: input }];
  const own = (): Assistant => {
    const last = messages.at(-1);
    if (last?.role === "assistant") return last;
    const begun: Assistant = { role: "assistant", content: null };
    messages.push(begun);
    return begun;
  };
  for (const item of input) add(messages, own, item);
  return messages;
}

function add(messages: ChatMessage[], own: () => Assistant, item: Item): void {
  if (item.type === "function_call") {
    const { call_id: id, name, arguments: text } = item;
    const message = own();
    message.tool_calls = [...(message.tool_calls ?? []), { id, type: "function", function: { name, arguments: text } }];
  } else if (item.type === "function_call_output")
    messages.push({ role: "tool", content: textOf(item.output), tool_call_id: item.call_id });
  else if (item.type === "reasoning") {
    // Of another server's thoughts there may be a summary alone.
    const parts = item.content?.length ? item.content : (item.summary ?? []);
    const text = parts.map((part) => part.text).join("\n");
    if (!text) return;
    const message = own();
    message.reasoning_content = joined(message.reasoning_content, text);
  } else if (item.role === "assistant") {
    const message = own();
    message.content = joined(message.content == null ? null : textOf(message.content), textOf(item.content));
  } else messages.push({ role: item.role, content: textOf(item.content) });
}

const joined = (before: string | null | undefined, more: string) => (before == null ? more : `${before}\n${more}`);
