import { type Reader, readBare, readJson, readMarkup, readNumbered, readPairs, readSeparated } from "./call.ts";
import { readPython } from "./python.ts";

/** How the models of a family write calls of tools. */
export interface Family {
  readonly name: string;
  /** A template of the family contains one of these. */
  readonly known: readonly string[];
  /** What begins a call, and what ends it: undefined is the end of the text. */
  readonly open: string;
  readonly close: string | undefined;
  /** What stands around a run of calls and says nothing. */
  readonly around?: readonly [begin: string, end: string] | undefined;
  /** Marks inside a call. */
  readonly within?: readonly string[] | undefined;
  /** Calls may also be all of an answer, without a mark. */
  readonly bare?: true | undefined;
  /** A call that the end of the text ends is whole if it reads as one; where a name alone is a call, it needs its mark. */
  readonly unclosed?: true | undefined;
  readonly read: Reader;
}

/**
 * The families, the first whose text a template contains being the template's. Marks and forms are those of the templates that the
 * models are published with, and of what vLLM 0.33 (`vllm/tool_parsers`) and llama.cpp (`common/chat`) expect of them.
 */
export const families: readonly Family[] = [
  {
    // Kimi K2 and Kimi Linear. Templates of July 2025 declare tools and do not write calls.
    name: "kimi",
    known: ["<|tool_calls_section_begin|>", "<|im_system|>tool_declare"],
    around: ["<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"],
    open: "<|tool_call_begin|>",
    close: "<|tool_call_end|>",
    within: ["<|tool_call_argument_begin|>"],
    unclosed: true,
    read: readNumbered,
  },
  {
    // V3, R1 and V3.1; V2's template has no tools.
    name: "deepseek",
    known: ["<\uff5ctool\u2581calls\u2581begin\uff5c>"],
    around: ["<\uff5ctool\u2581calls\u2581begin\uff5c>", "<\uff5ctool\u2581calls\u2581end\uff5c>"],
    open: "<\uff5ctool\u2581call\u2581begin\uff5c>",
    close: "<\uff5ctool\u2581call\u2581end\uff5c>",
    within: ["<\uff5ctool\u2581sep\uff5c>"],
    unclosed: true,
    read: readSeparated,
  },
  {
    // GLM-4.5 to 5.
    name: "glm",
    known: ["<arg_key>"],
    open: "<tool_call>",
    close: "</tool_call>",
    within: ["<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"],
    read: readPairs,
  },
  {
    // Qwen3-Coder, Qwen3.5 and those that follow them.
    name: "markup",
    known: ["<parameter="],
    open: "<tool_call>",
    close: "</tool_call>",
    read: readMarkup,
  },
  {
    // MiniCPM3 and 4, LFM2.
    name: "python",
    known: ["<|tool_call_start|>"],
    open: "<|tool_call_start|>",
    close: "<|tool_call_end|>",
    unclosed: true,
    read: (body, schemas) => (/^\s*(?:```json\s*)?(?:\[\s*)?\{/.test(body) ? readJson : readPython)(body, schemas),
  },
  {
    // Hermes, Qwen2.5 and Qwen3, SmolLM, Ling.
    name: "hermes",
    known: ["<tool_call>"],
    open: "<tool_call>",
    close: "</tool_call>",
    unclosed: true,
    read: readJson,
  },
  {
    // Llama 3.1 to 3.3.
    name: "llama",
    known: ["<|python_tag|>", '"parameters": dictionary'],
    open: "<|python_tag|>",
    close: undefined,
    bare: true,
    unclosed: true,
    read: readBare,
  },
];

/** What stands around thoughts, by families. */
const thoughts = [
  ["<think>", "</think>"],
  ["<|thought_start|>", "<|thought_end|>"],
  ["<seed:think>", "</seed:think>"],
  ["[THINK]", "[/THINK]"],
] as const;

/** How a model of this template writes calls; undefined where nothing in it says so. */
export function familyOf(template: string | undefined): Family | undefined {
  return families.find(({ known }) => known.some((text) => template?.includes(text)));
}

/** What begins and ends the thoughts of a model of this template; undefined for one that has none. */
export function thoughtsOf(template: string | undefined): readonly [open: string, close: string] | undefined {
  return thoughts.find(([, close]) => template?.includes(close));
}
