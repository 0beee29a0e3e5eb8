import type { Template } from "../tokenizer/template.ts";

/** How a template reads the arguments of a call: as an object, or as the text of one. */
export type ArgumentsAs = "object" | "text";

const known = new WeakMap<Template, Promise<ArgumentsAs>>();

/**
 * How a template reads the arguments of calls that were made. Most write the object they are given as JSON; some (DeepSeek-V3's) join
 * them to other text, which fails with an object, or would write it as Python does. So it is tried, once for each template.
 */
export function argumentsAs(template: Template): Promise<ArgumentsAs> {
  const found = known.get(template) ?? tryObject(template);
  known.set(template, found);
  return found;
}

const KEY = "needle";

async function tryObject(template: Template): Promise<ArgumentsAs> {
  // Mistral's templates want ids of nine letters or digits.
  const call = { type: "function", id: "abcdefg01", function: { name: "f", arguments: { [KEY]: "x" } } };
  try {
    const text = await template.render([
      { role: "user", content: "a" },
      { role: "assistant", content: "", tool_calls: [call] },
      { role: "tool", content: "b", tool_call_id: call.id, name: "f" },
    ]);
    // Python writes a dictionary with single quotes.
    return text.includes(KEY) && !text.includes(`'${KEY}'`) && !text.includes("[object") ? "object" : "text";
  } catch {
    return "text";
  }
}
