import { refuseParameter } from "./errors.ts";
import { familyOf, thoughtsOf } from "./parse/family.ts";
import { markTokens, type Parser, parserFor, thinkingAfter } from "./parse/parser.ts";
import type { Prompt } from "./prompt.ts";
import type { Tool, ToolChoice } from "./schema/calling.ts";
import type { Served } from "./served.ts";

/** What a request says of tools. */
interface ToolsAsked {
  readonly tools?: readonly Tool[] | undefined;
  readonly tool_choice?: ToolChoice | undefined;
}

/**
 * The tools that a request's prompt tells; undefined where it tells none.
 *
 * Errors: Problem with status 400 for a model whose template knows no tools, and for a choice that is not possible.
 */
export function toolsOf(
  { template, name }: Served,
  { tools, tool_choice: choice }: ToolsAsked,
): readonly Tool[] | undefined {
  if (!tools?.length) {
    if (choice !== undefined && choice !== "none" && choice !== "auto")
      throw refuseParameter("tool_choice", `got ${nameOf(choice)} without tools, expected tools`);
    return undefined;
  }
  if (typeof choice === "object" && !tools.some((tool) => tool.function.name === choice.function.name))
    throw refuseParameter(
      "tool_choice",
      `got ${nameOf(choice)}, expected one of ${tools.map((tool) => tool.function.name).join(", ")}`,
    );
  if (choice === "none") return undefined;
  if (!familyOf(template?.source))
    throw refuseParameter(
      "tools",
      `got ${tools.length} for ${name}, expected none: its template does not say how it calls them`,
    );
  return tools;
}

function nameOf(choice: ToolChoice): string {
  return typeof choice === "string" ? choice : choice.function.name;
}

/** How a model's answers to a prompt are taken apart: by the marks of its template. */
export function speechOf(
  { template, tokenizer }: Served,
  prompt: Prompt,
  tools: readonly Tool[] | undefined,
): { readonly parser?: () => Parser; readonly marks?: ReadonlySet<number> } {
  const source = template?.source;
  if (!tools && !thoughtsOf(source)) return {};
  const options = {
    tools: tools !== undefined,
    thinking: thinkingAfter(source, prompt.text),
    schemas: new Map(tools?.map((tool) => [tool.function.name, tool.function.parameters])),
  };
  return {
    parser: () => parserFor(source, options),
    marks: tokenizer ? markTokens(source, tokenizer, options) : new Set(),
  };
}
