import { FormatError } from "../../tensor/error.ts";
import type { Node } from "./ebnf.ts";
import { classOf, textOf } from "./set.ts";

/**
 * A grammar, from its rule `root` or what else it begins with, as XGrammar 0.1.27 takes it for what it says. That library makes one automaton of each rule and of what it puts into
 * it from others, and then merges states that are not alike: `[0-9]{4} | [0-9]{3}` allows any number of digits (xgrammar pull requests 632,
 * 752 and 911; `findings/grammar-bounds.sh`). So no rule here has more than one way through: alternatives are rules of their own, each of which
 * ends with `nil`, an empty rule, since such rules are not put into others.
 *
 * Errors: FormatError for a class that cannot be written: see `classOf`.
 */
export function writeGrammar(rules: ReadonlyMap<string, Node>, root: Node = { kind: "rule", name: "root" }): string {
  const lines: string[] = ['nil ::= ""'];
  const known = new Map<string, string>();
  /** The name of a rule that says this; one name for what is said twice. */
  const rule = (body: string): string => {
    const found = known.get(body);
    if (found !== undefined) return found;
    const name = `n${known.size}`;
    known.set(body, name);
    lines.push(`${name} ::= ${body}`);
    return name;
  };
  const atom = (node: Node): string => {
    if (node.kind === "rule") return `r-${node.name}`;
    if (node.kind === "text") return node.text ? rule(`${textOf(node.text)} nil`) : "nil";
    if (node.kind === "class") {
      const parts = classOf(node.ranges);
      if (!parts)
        throw new FormatError(
          "grammar: got a class of more than 1000 characters beyond ASCII, and none of ASCII, expected fewer or all; change the class",
        );
      return parts.length === 1 && parts[0]!.startsWith("[")
        ? parts[0]!
        : rule(parts.map((part) => rule(`${part} nil`)).join(" | "));
    }
    if (node.kind !== "repeat") {
      const parts = node.parts.map(atom);
      if (node.kind === "any") return rule([...new Set(parts)].join(" | "));
      return parts.length ? rule(`${parts.join(" ")} nil`) : "nil";
    }
    const { least, most } = node;
    if (most === 0) return "nil";
    const part = atom(node.part);
    const times = least === 0 && most === undefined ? "*" : `{${least},${most ?? ""}}`;
    return rule(`${part}${times} nil`);
  };
  for (const [name, node] of rules) lines.push(`r-${name} ::= ${atom(node)} nil`);
  return [`root ::= ${atom(root)} nil`, ...lines].join("\n");
}
