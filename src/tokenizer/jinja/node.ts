import type { Value } from "./value.ts";

/** Arguments as a template writes them; `spread` and `spreadNamed` are those behind one and two stars. */
export interface Arguments {
  readonly positional: readonly Expression[];
  readonly named: readonly (readonly [string, Expression])[];
  readonly spread?: Expression | undefined;
  readonly spreadNamed?: Expression | undefined;
}

export type Expression =
  | { readonly type: "constant"; readonly value: Value }
  | { readonly type: "name"; readonly name: string }
  | { readonly type: "tuple" | "list" | "concat"; readonly items: readonly Expression[] }
  | { readonly type: "dict"; readonly pairs: readonly (readonly [Expression, Expression])[] }
  | { readonly type: "attribute"; readonly object: Expression; readonly name: string }
  | { readonly type: "item"; readonly object: Expression; readonly key: Expression | Slice }
  | { readonly type: "call"; readonly callee: Expression; readonly given: Arguments }
  | {
      readonly type: "filter";
      readonly input: Expression | undefined;
      readonly name: string;
      readonly given: Arguments;
    }
  | { readonly type: "test"; readonly input: Expression; readonly name: string; readonly given: Arguments }
  | { readonly type: "unary"; readonly operator: "not" | "-" | "+"; readonly operand: Expression }
  | { readonly type: "binary"; readonly operator: Operator; readonly left: Expression; readonly right: Expression }
  | {
      readonly type: "compare";
      readonly first: Expression;
      readonly rest: readonly (readonly [Comparison, Expression])[];
    }
  | {
      readonly type: "condition";
      readonly test: Expression;
      readonly value: Expression;
      readonly otherwise: Expression | undefined;
    };

export type Operator = "and" | "or" | "+" | "-" | "*" | "/" | "//" | "%" | "**";
export type Comparison = "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not in";

/** `start:stop:step` between brackets. */
export interface Slice {
  readonly type: "slice";
  readonly bounds: readonly (Expression | undefined)[];
}

/** What may be assigned to: a name, names in a row, or an attribute of a namespace. */
export type Target =
  | { readonly type: "name"; readonly name: string }
  | { readonly type: "tuple"; readonly items: readonly Target[] }
  | { readonly type: "member"; readonly name: string; readonly attribute: string };

/** Parameters of a macro or of a call's block; `defaults` are those of the last ones. */
export interface Signature {
  readonly parameters: readonly string[];
  readonly defaults: readonly Expression[];
}

export type Statement =
  | { readonly type: "output"; readonly parts: readonly (string | Expression)[] }
  | {
      readonly type: "if";
      readonly branches: readonly { readonly test: Expression; readonly body: readonly Statement[] }[];
      readonly otherwise: readonly Statement[];
    }
  | {
      readonly type: "for";
      readonly target: Target;
      readonly iterable: Expression;
      readonly test: Expression | undefined;
      readonly recursive: boolean;
      readonly body: readonly Statement[];
      readonly otherwise: readonly Statement[];
    }
  | { readonly type: "set"; readonly target: Target; readonly value: Expression }
  | {
      readonly type: "capture";
      readonly target: Target;
      readonly filter: Expression | undefined;
      readonly body: readonly Statement[];
    }
  | {
      readonly type: "macro";
      readonly name: string;
      readonly signature: Signature;
      readonly body: readonly Statement[];
    }
  | {
      readonly type: "call";
      readonly signature: Signature;
      readonly call: Extract<Expression, { type: "call" }>;
      readonly body: readonly Statement[];
    }
  | { readonly type: "generation"; readonly body: readonly Statement[] }
  | { readonly type: "filter"; readonly filter: Expression; readonly body: readonly Statement[] }
  | {
      readonly type: "with";
      readonly targets: readonly Target[];
      readonly values: readonly Expression[];
      readonly body: readonly Statement[];
    }
  | { readonly type: "break" | "continue" };

const inArguments = ({ positional, named, spread, spreadNamed }: Arguments): (Expression | undefined)[] => [
  ...positional,
  ...named.map(([, value]) => value),
  spread,
  spreadNamed,
];

/** The expressions directly inside one. */
export function partsOf(node: Expression): readonly Expression[] {
  const parts: (Expression | undefined)[] = (() => {
    switch (node.type) {
      case "constant":
      case "name":
        return [];
      case "tuple":
      case "list":
      case "concat":
        return [...node.items];
      case "dict":
        return node.pairs.flat();
      case "attribute":
        return [node.object];
      case "item":
        return [node.object, ...(node.key.type === "slice" ? node.key.bounds : [node.key])];
      case "call":
        return [node.callee, ...inArguments(node.given)];
      case "filter":
      case "test":
        return [node.input, ...inArguments(node.given)];
      case "unary":
        return [node.operand];
      case "binary":
        return [node.left, node.right];
      case "compare":
        return [node.first, ...node.rest.map(([, value]) => value)];
      case "condition":
        return [node.test, node.value, node.otherwise];
    }
  })();
  return parts.filter((part) => part !== undefined);
}
