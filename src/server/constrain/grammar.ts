import { callsGrammar, type Tool } from "./calling.ts";
import { type Node, parseGrammar } from "./ebnf.ts";
import { writeGrammar } from "./normal.ts";
import { regexGrammar } from "./regex.ts";
import { Rules } from "./rules.ts";
import { SchemaRules } from "./schema.ts";
import { checkSize } from "./size.ts";

/** What a text is to be: an object of JSON, what a schema, an expression or a grammar allows, or calls of tools. */
export type Form =
  | { readonly kind: "object" }
  | { readonly kind: "schema"; readonly schema: unknown }
  | { readonly kind: "regex"; readonly pattern: string }
  | { readonly kind: "grammar"; readonly grammar: string }
  | {
      readonly kind: "calls";
      readonly tools: readonly Tool[];
      /** The model's, whose family says how calls are written. */
      readonly template: string | undefined;
      readonly many: boolean;
    };

/** A form as EBNF for the library, perhaps after empty lines. Throws FormatError naming what cannot be heeded. */
export function grammarOf(form: Form, before: "none" | "lines" = "none"): string {
  const rules = parseGrammar(textOf(form));
  if (before === "none") return writeGrammar(rules);
  const lines: Node = { kind: "repeat", part: { kind: "text", text: "\n" }, least: 0, most: 2 };
  return writeGrammar(rules, { kind: "all", parts: [lines, { kind: "rule", name: "root" }] });
}

function textOf(form: Form): string {
  if (form.kind === "grammar") return form.grammar;
  if (form.kind === "regex") return `root ::= ${regexGrammar("regex", form.pattern, "whole")}`;
  if (form.kind === "calls") return callsGrammar(form.template, form.tools, form.many);
  if (form.kind === "object") {
    const rules = new Rules();
    return rules.text(rules.anyObject());
  }
  checkSize("json_schema", form.schema);
  const rules = new SchemaRules("json_schema", form.schema);
  const root = rules.value(form.schema);
  return rules.rules.text(root);
}
