import {
  type Reader,
  readBare,
  readInvoke,
  readJson,
  readMarkup,
  readNamed,
  readNumbered,
  readPairs,
  readParams,
  readSeparated,
  readTagged,
} from "./call.ts";
import { readPython } from "./python.ts";

/** How the models of a family write calls of tools. */
export interface Family {
  readonly name: string;
  /** A template of the family contains one of these. */
  readonly known: readonly string[];
  /** What begins a call, and what ends it: undefined is the end of the text. */
  readonly open: string;
  readonly close: string | undefined;
  /** What may stand before and after a run of calls and says nothing. */
  readonly before?: readonly string[] | undefined;
  readonly after?: readonly string[] | undefined;
  /** Marks inside a call, or parts of marks that are tokens. */
  readonly within?: readonly string[] | undefined;
  /** Calls may also be all of an answer, without a mark. */
  readonly bare?: true | undefined;
  /** A call that the end of the text ends is whole if it reads as one; where a name alone is a call, it needs its mark. */
  readonly unclosed?: true | undefined;
  /** How many letters a call's id has: its template refuses others. */
  readonly idLength?: number | undefined;
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
    before: ["<|tool_calls_section_begin|>"],
    after: ["<|tool_calls_section_end|>"],
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
    before: ["<\uff5ctool\u2581calls\u2581begin\uff5c>"],
    after: ["<\uff5ctool\u2581calls\u2581end\uff5c>"],
    open: "<\uff5ctool\u2581call\u2581begin\uff5c>",
    close: "<\uff5ctool\u2581call\u2581end\uff5c>",
    within: ["<\uff5ctool\u2581sep\uff5c>"],
    unclosed: true,
    read: readSeparated,
  },
  {
    // V3.2 and V4, which call the run of calls by two names.
    name: "dsml",
    known: ["\uff5cDSML\uff5c"],
    before: ["<\uff5cDSML\uff5cfunction_calls>", "<\uff5cDSML\uff5ctool_calls>"],
    after: ["</\uff5cDSML\uff5cfunction_calls>", "</\uff5cDSML\uff5ctool_calls>"],
    open: '<\uff5cDSML\uff5cinvoke name="',
    close: "</\uff5cDSML\uff5cinvoke>",
    within: ["\uff5cDSML\uff5c"],
    read: readInvoke,
  },
  {
    // Mistral from 7B v0.3 on: one list of JSON after the mark, or since Small 3.1 a mark for each call.
    name: "mistral",
    known: ["[TOOL_CALLS]"],
    open: "[TOOL_CALLS]",
    close: undefined,
    within: ["[CALL_ID]", "[ARGS]"],
    unclosed: true,
    idLength: 9,
    read: readNamed,
  },
  {
    // MiniCPM5.
    name: "params",
    known: ['<function name="'],
    open: '<function name="',
    close: "</function>",
    within: ["<function", "<param", "</param>"],
    read: readParams,
  },
  {
    // Apriel 1.5 and 1.6.
    name: "listed",
    known: ["<tool_calls>["],
    open: "<tool_calls>",
    close: "</tool_calls>",
    unclosed: true,
    read: readJson,
  },
  {
    // GLM-4.5 to 5, Ling 3.0.
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
    // GigaChat 3.1.
    name: "gigachat",
    known: ["<|function_call|>"],
    open: "<|function_call|>",
    close: "<|message_sep|>\n\n",
    unclosed: true,
    read: readJson,
  },
  {
    // GigaChat 3: a call is a turn of its own behind that of the assistant, which a mark ends; marks hold their line ends.
    name: "turn",
    known: ["<|role_sep|>"],
    before: ["<|message_sep|>\n\n"],
    open: "function call<|role_sep|>\n",
    close: "<|message_sep|>\n\n",
    within: ["<|role_sep|>\n"],
    unclosed: true,
    read: readJson,
  },
  {
    // Functionary 3.1, and what Llama 3.1 calls custom tools.
    name: "tagged",
    known: ["<function=example_function_name>"],
    open: "<function=",
    close: "</function>",
    read: readTagged,
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
    // Hermes, Qwen2.5 and Qwen3, SmolLM, Granite 4.
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

/** Marks of families that are not read: what else their templates contain is not to be taken for another's. MiniMax-M3, Seed-OSS, Llama 4. */
const foreign = ["]<]minimax[>[", "<seed:tool_call>", "<|python_start|>"];

/** How a model of this template writes calls; undefined where nothing in it says so. */
export function familyOf(template: string | undefined): Family | undefined {
  if (foreign.some((mark) => template?.includes(mark))) return undefined;
  return families.find(({ known }) => known.some((text) => template?.includes(text)));
}

/** What begins and ends the thoughts of a model of this template; undefined for one that has none. */
export function thoughtsOf(template: string | undefined): readonly [open: string, close: string] | undefined {
  return thoughts.find(([, close]) => template?.includes(close));
}
