// Calls of tools as chat templates write them, and what Biform's parsers make of that. `node interop/calls.ts` writes
// test/fixture/calls.json, so that the tests without these templates have their texts.
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { argumentsAs } from "../src/server/calls.ts";
import { familyOf, thoughtsOf } from "../src/server/parse/family.ts";
import { thinkingAfter } from "../src/server/parse/parser.ts";
import { applyTemplate } from "../src/tokenizer/apply.ts";
import { type Message, openTemplate, type Template } from "../src/tokenizer/template.ts";

const here = import.meta.dirname;

/** Templates of many models as llama.cpp has them, whose sources node-llama-cpp brings. */
export const llamaTemplates = join(here, ".templates", "models", "templates");

/** Folders of templates: TRL's, and those. */
export const folders = [
  ...globSync(".venv/lib/*/site-packages/trl/chat_templates", { cwd: here }).map((folder) => join(here, folder)),
  llamaTemplates,
];

const properties = {
  city: { type: "string" },
  days: { type: "integer" },
  exact: { type: "boolean" },
  parts: { type: "array", items: { type: "string" } },
  more: { type: "object" },
  ratio: { type: "number" },
};
export const tools = [
  {
    type: "function",
    function: { name: "get_weather", description: "Rain?", parameters: { type: "object", properties } },
  },
  { type: "function", function: { name: "now", description: "Time.", parameters: { type: "object", properties: {} } } },
];

/** A call as a request has it. */
export interface Called {
  readonly name: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

const weather: Called = {
  name: "get_weather",
  arguments: {
    city: 'Kyïv "old" & <b>\n{1}',
    days: 3,
    exact: true,
    parts: ["a", "b c"],
    more: { x: [1, null], y: "z" },
    ratio: 0.5,
  },
};
const now: Called = { name: "now", arguments: {} };

/** Tokens that end a turn with a call where they end no other. */
const ends = /<\|(?:eom_id|observation)\|>|<\uff5cend\u2581of\u2581sentence\uff5c>/;

/** An assistant's turn as a template writes it. */
export interface Turn {
  readonly calls: readonly Called[];
  readonly content: string;
  readonly text: string;
  readonly thinking: "open" | "closed";
}

/** All turns with calls that a template writes; those that it refuses, such as two calls at once, or leaves out are not among them. */
export async function turnsOf(source: string): Promise<Turn[]> {
  const template = openTemplate("template", source, { bos_token: "<s>", eos_token: "</s>" });
  const turns: Turn[] = [];
  try {
    for (const calls of [[weather], [now], [weather, now]])
      for (const content of [null, "I look."]) {
        const turn = await attempt(template, source, calls, content);
        if (turn && calls.every(({ name }) => turn.text.includes(name))) turns.push(turn);
      }
  } finally {
    template.close();
  }
  return turns;
}

async function attempt(
  template: Template,
  source: string,
  calls: readonly Called[],
  content: string | null,
): Promise<Turn | undefined> {
  const as = await argumentsAs(template);
  const idOf = (name: string, i: number) =>
    source.includes("[TOOL_CALLS]") ? `abcdefg${i}${i}` : `functions.${name}:${i}`;
  const tool_calls = calls.map(({ name, arguments: given }, i) => {
    return {
      id: idOf(name, i),
      type: "function",
      function: { name, arguments: as === "text" ? JSON.stringify(given) : given },
    };
  });
  const asked: Message[] = [{ role: "user", content: "Rain?" }];
  const end = async (last: Message) => applyTemplate(template, [...asked, last], { tools, reply: "none" });
  try {
    const prompt = await applyTemplate(template, asked, { tools });
    const whole = await end({ role: "assistant", content, tool_calls });
    // What a model says begins where its prompt ends, or where a template writes a turn that is over otherwise.
    let at = 0;
    while (at < prompt.length && prompt[at] === whole[at]) at++;
    const mark = whole.lastIndexOf("<", at - 1);
    if (mark > whole.lastIndexOf(">", at - 1) && mark >= 0) at = mark;
    const ended = (await end({ role: "assistant", content: "I look." })).split("I look.").at(-1)!;
    const turn = whole.slice(at).split(ends)[0]!;
    const text = turn.endsWith(ended) ? turn.slice(0, turn.length - ended.length) : turn;
    const [, close = ""] = thoughtsOf(source) ?? [];
    const thinks = close !== "" && text.trimStart().startsWith(close);
    return {
      calls,
      // Some leave out what was said beside a call.
      content: text.includes("I look.") ? content! : "",
      text,
      thinking: at === prompt.length ? thinkingAfter(source, prompt) : thinks ? "open" : "closed",
    };
  } catch {
    return undefined;
  }
}

/** Templates of the families that Biform runs, one for each way to write calls. */
const kept = [
  "llama3_1",
  "meta-llama-Llama-3.3-70B-Instruct",
  "Qwen-Qwen2.5-7B-Instruct",
  "qwen3",
  "Qwen3-Coder",
  "qwen3_8",
  "deepseekv3",
  "deepseek-ai-DeepSeek-V3.1",
  "deepseek-ai-DeepSeek-V3.2",
  "deepseek-ai-DeepSeek-V4",
  "moonshotai-Kimi-K2",
  "GLM-4.6",
  "GLM-4.7-Flash",
  "openbmb-MiniCPM5-1B",
  "inclusionai-ling-3.0-flash",
  "lfm2_2_5_vl",
  "mistralai-Mistral-Nemo-Instruct-2407",
  "Mistral-Small-3.2-24B-Instruct-2506",
  "unsloth-mistral-Devstral-Small-2507",
  "meetkai-functionary-medium-v3.1",
  "GigaChat3-10B-A1.8B",
  "GigaChat3.1-10B-A1.8B",
  "unsloth-Apriel-1.5",
];

async function writeFixture(): Promise<void> {
  const texts = [];
  for (const file of folders.flatMap((folder) => globSync(join(folder, "*.jinja")).sort())) {
    const name = basename(file, ".jinja");
    if (!kept.includes(name)) continue;
    const source = readFileSync(file, "utf8");
    // The parsers look at a template's marks alone.
    const marks = [
      ...(familyOf(source)?.known ?? []).filter((mark) => source.includes(mark)),
      ...(thoughtsOf(source) ?? []),
    ];
    texts.push({ name, template: marks.join(" "), turns: await turnsOf(source) });
  }
  writeFileSync(join(here, "../test/fixture/calls.json"), `${JSON.stringify({ tools, texts })}\n`);
}

if (import.meta.main) await writeFixture();
