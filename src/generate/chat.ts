import { ShapeError } from "../tensor/error.ts";
import { applyTemplate } from "../tokenizer/apply.ts";
import type { Message, Template } from "../tokenizer/template.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { GenerateOptions } from "./generate.ts";
import type { TextSession } from "./text.ts";
import type { Step } from "./writer.ts";

/** A conversation over one session, whose cache is kept from turn to turn. */
export interface Conversation {
  /** What was said, the system's words first where there are any. */
  readonly messages: readonly Message[];
  /** Of the last prompt: tokens in all, and those whose cache was there already. */
  readonly prompt: { readonly tokens: number; readonly reused: number };
  /**
   * Says something and yields the answer. What was said is kept as far as it was yielded; where nothing was, not even the words are.
   *
   * Errors: FormatError of the template, ShapeError where the conversation has outgrown the context.
   */
  say(text: string, options?: GenerateOptions): AsyncGenerator<Step, void, undefined>;
  /** Forgets all but these messages. */
  reset(messages?: readonly Message[]): void;
}

/**
 * Begins a conversation with the messages given, over a session that is its alone. A reply throws FormatError where the template
 * fails, ShapeError where the conversation is longer than the session has room for.
 */
export function conversation(
  session: TextSession,
  { tokenizer, template }: { readonly tokenizer: Tokenizer; readonly template: Template },
  begin: readonly Message[] = [],
): Conversation {
  let messages: Message[] = [...begin];
  let prompt = { tokens: 0, reused: 0 };
  return {
    get messages() {
      return messages;
    },
    get prompt() {
      return prompt;
    },
    async *say(text, options) {
      const asked: Message[] = [...messages, { role: "user", content: text }];
      // The template writes special tokens itself, so that none are added to it.
      const all = tokenizer.encode(await applyTemplate(template, asked));
      if (all.length >= session.context)
        throw new ShapeError(
          `conversation: got ${all.length} tokens, expected fewer than the context of ${session.context}; ` +
            "begin a new one, or make the context larger",
        );
      const rest = session.keepShared(all);
      prompt = { tokens: all.length, reused: all.length - rest.length };
      let content = "";
      for await (const step of session.generate(rest, options)) {
        content += step.text;
        messages = [...asked, { role: "assistant", content }];
        yield step;
      }
    },
    reset(kept = begin) {
      messages = [...kept];
    },
  };
}
