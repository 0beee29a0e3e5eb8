import type { Constraint } from "../batch/request.ts";
import { FormatError } from "../tensor/error.ts";
import type { Form } from "./constrain/grammar.ts";
import { Problem, refuseParameter } from "./errors.ts";
import type { Work } from "./hall.ts";
import { familyOf, thoughtsOf } from "./parse/family.ts";
import { markTokens, thinkingAfter } from "./parse/parser.ts";
import type { Prompt } from "./prompt.ts";
import type { ResponseFormat, StructuredOutputs, Tool, ToolChoice } from "./schema/calling.ts";
import type { Served } from "./served.ts";
import { whenCalled } from "./when.ts";

/** What a request says of the form of its answers. */
export interface FormAsked {
  readonly response_format?: ResponseFormat | undefined;
  readonly structured_outputs?: StructuredOutputs | undefined;
  readonly tool_choice?: ToolChoice | undefined;
  readonly parallel_tool_calls?: boolean | undefined;
  readonly ignore_eos?: boolean | undefined;
}

/** A form, the parameter that asks for it, and when it holds: from the beginning, or once a call begins. */
interface Wanted {
  readonly form: Form;
  readonly param: string;
  readonly from: "begin" | "call";
}

/**
 * Constraints for `n` answers to a prompt, freed at the work's end; undefined where the answer is free. Where the prompt has begun the
 * model's thoughts, they hold once it has closed them.
 *
 * Errors: Problem with status 400 naming the parameter whose form cannot be heeded.
 */
export async function constrainAnswers(
  { served, hold }: Work,
  asked: FormAsked,
  { prompt, tools, n }: { readonly prompt: Prompt; readonly tools: readonly Tool[] | undefined; readonly n: number },
): Promise<readonly Constraint[] | undefined> {
  const { template, tokenizer } = served;
  const wanted = wantedOf(served, asked, tools);
  if (!wanted) return undefined;
  const { form, param, from } = wanted;
  if (asked.ignore_eos)
    throw refuseParameter("ignore_eos", `got true with ${param}, expected false: what has a form has an end`);
  if (!served.constrainer || !tokenizer)
    throw refuseParameter(param, `got a form for ${served.name}, which has no tokenizer, expected none`);
  const source = template?.source;
  const open = from === "begin" && thinkingAfter(source, prompt.text) === "open";
  const marks = form.kind === "calls" ? markTokens(source, tokenizer, { tools: true }) : undefined;
  try {
    const constrainer = await served.constrainer();
    const made: Constraint[] = [];
    for (let i = 0; i < n; i++) {
      const after = open ? thoughtsOf(source)?.[1] : undefined;
      const constraint = untilFreed(await constrainer.constrain(form, { marks, after }));
      hold(() => constraint.free());
      made.push(from === "call" ? whenCalled(constraint, beginOf(served, param)) : constraint);
    }
    return made;
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new Problem(400, error.message, { param, code: "invalid_value", cause: error });
  }
}

/** A constraint that bounds nothing any more once it is freed: a step may still be at work for a request that has ended. */
export function untilFreed(constraint: Constraint): Constraint {
  let freed = false;
  return {
    mask(logits) {
      if (!freed) constraint.mask(logits);
    },
    accept(id) {
      if (!freed) constraint.accept(id);
    },
    get done() {
      return !freed && (constraint.done ?? false);
    },
    get ready() {
      return freed || (constraint.ready ?? true);
    },
    get endless() {
      return !freed && (constraint.endless ?? false);
    },
    free() {
      freed = true;
      constraint.free();
    },
  };
}

/** The one form that a request asks for. Throws Problem where it asks for two. */
function wantedOf({ template }: Served, asked: FormAsked, tools: readonly Tool[] | undefined): Wanted | undefined {
  const all = [responseForm(asked), structuredForm(asked)].filter((one) => one !== undefined);
  const choice = asked.tool_choice;
  const many = asked.parallel_tool_calls ?? true;
  if (tools && (choice === "required" || typeof choice === "object")) {
    const chosen =
      typeof choice === "object" ? tools.filter((tool) => tool.function.name === choice.function.name) : tools;
    const form = {
      kind: "calls",
      tools: chosen.map(({ function: tool }) => tool),
      template: template?.source,
      many,
    } as const;
    all.push({ form, param: "tool_choice", from: "begin" });
  } else if (tools?.some((tool) => tool.function.strict)) {
    // Only what is strict has to follow its schema.
    const bound = tools.map(({ function: { name, parameters, strict } }) => ({
      name,
      parameters: strict ? parameters : { type: "object" },
    }));
    const form = { kind: "calls", tools: bound, template: template?.source, many } as const;
    all.push({ form, param: strictParam(tools), from: "call" });
  }
  const [first, second] = all;
  if (second) throw refuseParameter(second.param, `got a form beside that of ${first!.param}, expected one of them`);
  return first;
}

function strictParam(tools: readonly Tool[]): string {
  return `tools[${tools.findIndex((tool) => tool.function.strict)}].function.strict`;
}

function responseForm({ response_format: format }: FormAsked): Wanted | undefined {
  if (!format || format.type === "text") return undefined;
  const schema = format.type === "json_schema" ? format.json_schema.schema : undefined;
  const form: Form = schema === undefined ? { kind: "object" } : { kind: "schema", schema };
  return { form, param: "response_format", from: "begin" };
}

function structuredForm({ structured_outputs: outputs }: FormAsked): Wanted | undefined {
  if (!outputs) return undefined;
  const { json, regex, choice, grammar } = outputs;
  const forms: Form[] = [];
  if (json !== undefined) forms.push({ kind: "schema", schema: json });
  if (regex !== undefined) forms.push({ kind: "regex", pattern: regex });
  if (choice !== undefined) forms.push({ kind: "regex", pattern: choice.map(literal).join("|") });
  if (grammar !== undefined) forms.push({ kind: "grammar", grammar });
  return { form: forms[0]!, param: "structured_outputs", from: "begin" };
}

/** The token that begins a run of calls. Throws Problem for a family that begins them by more than one token, or by none. */
function beginOf({ template, tokenizer }: Served, param: string): number {
  const { before, open } = familyOf(template?.source) ?? {};
  const mark = before?.[0] ?? open;
  const id = mark === undefined ? undefined : tokenizer?.id(mark);
  if (id === undefined)
    throw refuseParameter(
      param,
      "got true, expected false: this model begins calls by no token of their own; tool_choice required is heeded",
    );
  return id;
}

/** A text as an expression of itself. */
function literal(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
}
