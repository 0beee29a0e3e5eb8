// Which variable a name is. As Jinja2 does it this is settled before anything runs: a loop, a macro or a block has variables of
// its own for all that is assigned anywhere in it, and each begins anew whenever it is entered.
import { type Expression, partsOf, type Statement, type Target } from "./node.ts";

/** What is run at once with variables of its own: the template, a macro, a recursive loop, or a loop's filter. */
export class Code {
  /** How many stand around it. */
  readonly depth: number;
  readonly #slots = new Map<string, Slot>();
  constructor(depth: number) {
    this.depth = depth;
  }
  /** The place of a variable; the same for scopes beside each other, as Python's local variables are. */
  slot(level: number, name: string): Slot {
    const key = `${level} ${name}`;
    const found = this.#slots.get(key);
    if (found) return found;
    const slot = { depth: this.depth, index: this.#slots.size };
    this.#slots.set(key, slot);
    return slot;
  }
}

/** Where a variable lies: in which code, and at which place there. */
export interface Slot {
  readonly depth: number;
  readonly index: number;
}

/** What a variable holds where its scope begins: nothing, what is given, the variable around it, or what the template was given. */
export type Load = "nothing" | "given" | { readonly around: Slot } | { readonly context: string };

/** A scope of the template: which of its names are variables of its own, and where the others lie. */
export class Scope {
  readonly code: Code;
  readonly around: Scope | undefined;
  readonly #level: number;
  readonly #slots: Map<string, Slot>;
  readonly #loads: Map<Slot, Load>;
  readonly #stored: Set<string>;

  constructor(code: Code, around?: Scope, from?: Scope) {
    this.code = code;
    this.around = around;
    this.#level = from ? from.#level : around ? around.#level + 1 : 0;
    this.#slots = new Map(from ? from.#slots : undefined);
    this.#loads = new Map(from ? from.#loads : undefined);
    this.#stored = new Set(from ? from.#stored : undefined);
  }

  get loads(): ReadonlyMap<Slot, Load> {
    return this.#loads;
  }

  find(name: string): Slot | undefined {
    return this.#slots.get(name) ?? this.around?.find(name);
  }

  #define(name: string, load: Load): Slot {
    const slot = this.code.slot(this.#level, name);
    this.#slots.set(name, slot);
    this.#loads.set(slot, load);
    return slot;
  }

  /** A variable that is set before its scope begins. */
  declare(name: string): Slot {
    this.#stored.add(name);
    return this.#define(name, "given");
  }

  store(name: string): void {
    this.#stored.add(name);
    if (this.#slots.has(name)) return;
    const around = this.around?.find(name);
    this.#define(name, around ? { around } : "nothing");
  }

  load(name: string): void {
    if (!this.find(name)) this.#define(name, { context: name });
  }

  /** Reads what the branches of a condition do to variables: one that is set in some keeps in others what it was around. */
  readBranches(...bodies: ((branch: Scope) => void)[]): void {
    const branches = bodies.map((read) => {
      const branch = new Scope(this.code, this.around, this);
      read(branch);
      return branch;
    });
    const fresh = new Set(branches.flatMap((branch) => [...branch.#stored].filter((name) => !this.#stored.has(name))));
    for (const branch of branches) {
      for (const [name, slot] of branch.#slots) this.#slots.set(name, slot);
      for (const [slot, load] of branch.#loads) this.#loads.set(slot, load);
      for (const name of branch.#stored) this.#stored.add(name);
    }
    for (const name of fresh) {
      const around = this.around?.find(name);
      this.#loads.set(this.find(name)!, around ? { around } : { context: name });
    }
  }

  readTarget(target: Target, declare = false): void {
    if (target.type === "tuple") for (const item of target.items) this.readTarget(item, declare);
    else if (target.type === "member") this.load(target.name);
    else if (declare) this.declare(target.name);
    else this.store(target.name);
  }

  readExpression(node: Expression | undefined): void {
    if (!node) return;
    if (node.type === "name") this.load(node.name);
    else for (const part of partsOf(node)) this.readExpression(part);
  }

  readAll(statements: readonly Statement[]): void {
    for (const statement of statements) this.#readStatement(statement);
  }

  /** What a statement does to the variables of the scope that it stands in; what is inside a scope of its own is not looked at. */
  #readStatement(node: Statement): void {
    switch (node.type) {
      case "output":
        for (const part of node.parts) if (typeof part !== "string") this.readExpression(part);
        break;
      case "if":
        this.readExpression(node.branches[0]!.test);
        this.readBranches(
          (branch) => branch.readAll(node.branches[0]!.body),
          (branch) => {
            for (const { test, body } of node.branches.slice(1)) {
              branch.readExpression(test);
              branch.readBranches(
                (inner) => inner.readAll(body),
                () => {},
              );
            }
          },
          (branch) => branch.readAll(node.otherwise),
        );
        break;
      case "for":
        this.readExpression(node.iterable);
        break;
      case "set":
        this.readExpression(node.value);
        this.readTarget(node.target);
        break;
      case "capture":
        this.readTarget(node.target);
        break;
      case "macro":
        this.store(node.name);
        break;
      case "call":
        this.readExpression(node.call);
        break;
      case "filter":
        this.readExpression(node.filter);
        break;
      case "with":
        for (const value of node.values) this.readExpression(value);
    }
  }
}

/** Which of the names are read in statements before they are assigned there. */
export function findRead(statements: readonly Statement[], names: readonly string[]): Set<string> {
  const open = new Set(names);
  const found = new Set<string>();
  const expression = (node: Expression | undefined): void => {
    if (node?.type === "name" && open.has(node.name)) found.add(node.name);
    else if (node) for (const part of partsOf(node)) expression(part);
  };
  const target = (node: Target): void => {
    if (node.type === "tuple") node.items.forEach(target);
    else if (node.type === "name") open.delete(node.name);
  };
  const all = (nodes: readonly Statement[]): void => {
    for (const node of nodes) {
      if (node.type === "output") for (const part of node.parts) typeof part !== "string" && expression(part);
      if (node.type === "if") for (const { test, body } of node.branches) [expression(test), all(body)];
      if (node.type === "for") [target(node.target), expression(node.iterable), expression(node.test)];
      if (node.type === "set") [target(node.target), expression(node.value)];
      if (node.type === "capture") [target(node.target), expression(node.filter)];
      if (node.type === "macro" || node.type === "call") {
        for (const parameter of node.signature.parameters) open.delete(parameter);
        node.signature.defaults.forEach(expression);
      }
      if (node.type === "call") expression(node.call);
      if (node.type === "filter") expression(node.filter);
      if (node.type === "with") [node.targets.forEach(target), node.values.forEach(expression)];
      if ("body" in node) all(node.body);
      if ("otherwise" in node) all(node.otherwise);
    }
  };
  all(statements);
  return found;
}
