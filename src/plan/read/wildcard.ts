// Patterns by which quantization configs name modules, as strangers write them: tried on names in time that grows with their length,
// since nothing goes back.

/** One step through a name: a character that is accepted, by its code, once or as often as there are such characters. */
interface Step {
  readonly code: number;
  readonly many: boolean;
}

/** Codes that stand for any character, and for digits and the number of a layer. */
const [ANY, DIGIT] = [-1, -2];

/** Patterns that are alike but for the layer that they name. */
export interface Wildcard {
  /** The layers, counted from 0; undefined for all. */
  readonly layers: ReadonlySet<number> | undefined;
  /** Whether a module's name, with # for the number of its layer, is among those that the pattern stands for. */
  matches(name: string): boolean;
}

/** Alternatives that one pattern may stand for (a number for each layer of a large model), characters in one, patterns that differ. */
const [ALTERNATIVES, LONGEST, MOST] = [1024, 8192, 2048];

/** A layer's number in a name, which may stand in a regular expression. */
const numbered = /\b(layers|blocks|h)(\\?\.)(\d+)(?=\\?\.|\*|$)/;

/**
 * Reads names, names with `*`, and after `re:` the part of regular expressions that names of modules are written in: letters, `.`,
 * `\.`, `\d`, `[0-9]`, `*`, `+`, `^`, `$` and groups of alternatives. A name stands for a module and all within it, wherever it
 * begins: `self_attn` is the attention of every layer, and `mlp.gate` is not `mlp.gate_proj`. A regular expression holds from the
 * beginning and may leave a rest, as with Python's re.match. `unclear` are those that are not understood.
 */
export function readWildcards(texts: readonly string[]): {
  readonly wildcards: Wildcard[];
  readonly unclear: string[];
} {
  const found = new Map<string, { layers: Set<number> | undefined; matches: (name: string) => boolean }>();
  const unclear: string[] = [];
  for (const text of texts) {
    const regular = text.startsWith("re:");
    const ways =
      text.length > LONGEST ? undefined : regular ? alternativesOf(text.slice(3)) : [text.replace(/^\.+|\.+$/g, "")];
    if (!ways || (regular && !ways.every(isRead))) {
      unclear.push(text);
      continue;
    }
    for (const way of ways) {
      const layer = numbered.exec(way)?.[3];
      const general = `${regular ? "re:" : ""}${way.replace(numbered, "$1$2#")}`;
      const known = found.get(general);
      if (!known && found.size === MOST) unclear.push(text);
      else if (!known)
        found.set(general, {
          layers: layer === undefined ? undefined : new Set([Number(layer)]),
          matches: regular ? regularExpression(general.slice(3)) : glob(general),
        });
      else if (layer !== undefined) known.layers?.add(Number(layer));
    }
  }
  return { wildcards: [...found.values()], unclear };
}

/** How many of a model's layers the patterns name, where each of them has the module of these names. */
export function countNamed(wildcards: readonly Wildcard[], names: readonly string[], count: number): number {
  const layers = new Set<number>();
  for (const wildcard of wildcards)
    if (names.some((name) => wildcard.matches(name))) {
      if (!wildcard.layers) return count;
      // Those beyond predict further tokens.
      for (const layer of wildcard.layers) if (layer < count) layers.add(layer);
    }
  return layers.size;
}

/** A name with or without `*`, from the beginning of any of a name's parts to the end of one. */
function glob(text: string): (name: string) => boolean {
  if (!text.includes("*")) return (name) => `.${name}.`.includes(`.${text}.`);
  const steps = Array.from(text, (char) =>
    char === "*" ? { code: ANY, many: true } : { code: codeOf(char), many: false },
  );
  const needed = longestOf(text.split("*"));
  return (name) => {
    // Most names end here: a pattern is looked for only where its longest piece is.
    if (!name.includes(needed)) return false;
    for (let from = 0; from >= 0; from = name.indexOf(".", from) + 1 || -1)
      if (follow(steps, name, from, (end) => end === name.length || name[end] === ".")) return true;
    return false;
  };
}

const longestOf = (texts: readonly string[]) => texts.reduce((a, b) => (b.length > a.length ? b : a), "");

const piece = /(\\d|\[0-9\])|\\([.\-_])|(\.)|([\w\-#/])/;
const repeated = new RegExp(`(?:${piece.source})([*+]?)`, "g");
const body = new RegExp(`^\\^?(?:(?:${piece.source})[*+]?)*\\$?$`);
/** Whether a regular expression without groups has nothing but what is read. */
const isRead = (text: string) => body.test(text);

function regularExpression(text: string): (name: string) => boolean {
  const whole = text.endsWith("$");
  const steps: Step[] = [];
  const plains = [""];
  for (const [, digits, escaped, dot, plain, repeat] of text.matchAll(repeated)) {
    const sure = repeat ? undefined : (escaped ?? plain);
    if (sure === undefined) plains.push("");
    else plains[plains.length - 1] += sure;
    const code = digits ? DIGIT : dot ? ANY : codeOf((escaped ?? plain)!);
    if (repeat !== "*") steps.push({ code, many: false });
    if (repeat) steps.push({ code, many: true });
  }
  const needed = longestOf(plains);
  return (name) => name.includes(needed) && follow(steps, name, 0, (end) => !whole || end === name.length);
}

/** No name has a character of two units. */
const codeOf = (char: string) => (char.length === 1 ? char.charCodeAt(0) : Number.NaN);

const accepts = (wanted: number, code: number) =>
  wanted === code || wanted === ANY || (wanted === DIGIT && (code === HASH || (code >= ZERO && code <= NINE)));
const [HASH, ZERO, NINE] = ["#", "0", "9"].map(codeOf) as [number, number, number];

/** Whether the steps lead from here to an end that is good. All places that can be reached go on together, marked by 1. */
function follow(steps: readonly Step[], name: string, from: number, ends: (end: number) => boolean): boolean {
  const { length } = name;
  let [reached, next] = [new Uint8Array(length + 1), new Uint8Array(length + 1)];
  reached[from] = 1;
  for (const { code, many } of steps) {
    let some = 0;
    next[0] = many ? reached[0]! : 0;
    for (let at = 0; at < length; at++) {
      const goesOn = (many ? next : reached)[at]! & Number(accepts(code, name.charCodeAt(at)));
      next[at + 1] = many ? goesOn | reached[at + 1]! : goesOn;
      some |= next[at]!;
    }
    if (!(some | next[length]!)) return false;
    [reached, next] = [next, reached];
  }
  return reached.some((mark, end) => mark === 1 && ends(end));
}

/** A pattern without its groups: one for each way through them. Undefined for groups within groups, and for too many ways. */
function alternativesOf(text: string): string[] | undefined {
  let ways = [""];
  let rest = text;
  for (;;) {
    const open = rest.indexOf("(");
    if (open < 0) return ways.map((way) => way + rest);
    const close = rest.indexOf(")", open);
    const group = rest.slice(open + 1, close).replace(/^\?:/, "");
    if (close < 0 || /[(?]/.test(group) || /^[*+?{]/.test(rest.slice(close + 1))) return undefined;
    const choices = group.split("|").map((choice) => rest.slice(0, open) + choice);
    if (ways.length * choices.length > ALTERNATIVES) return undefined;
    ways = ways.flatMap((way) => choices.map((choice) => way + choice));
    rest = rest.slice(close + 1);
  }
}
