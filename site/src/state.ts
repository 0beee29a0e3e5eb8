/**
 * What the page shows follows from its state alone, and the state is all in the address behind the #: a link is enough to share it.
 * Each key has a reader that says what it expects; a key that is damaged or unknown is told of, and its default stands.
 */
import { dtypes } from "biform/web";

/** One key of the address: what stands where it is absent, and how it is read. */
export interface Field<T> {
  readonly start: T;
  /** Undefined where the text is no such value. */
  read(text: string): T | undefined;
  readonly expected: string;
}

const oneOf = <const T extends string>(start: T, ...all: readonly T[]): Field<T> => ({
  start,
  read: (text) => all.find((value) => value === text),
  expected: all.join(", "),
});

const whole = (start: number, most: number): Field<number> => ({
  start,
  read: (text) => (/^\d{1,16}$/.test(text) && Number(text) >= 1 && Number(text) <= most ? Number(text) : undefined),
  expected: `a whole number from 1 to ${most}`,
});

/** Whole, of either sign. */
const number = (start: number, most: number): Field<number> => ({
  start,
  read: (text) => (/^-?\d{1,16}$/.test(text) && Math.abs(Number(text)) <= most ? Number(text) : undefined),
  expected: "a whole number",
});

const text = (start: string, most: number): Field<string> => ({
  start,
  read: (value) => (value.length <= most ? value : undefined),
  expected: `at most ${most} characters`,
});

/** Of a preset, a machine or a layout: names have no spaces and stand apart by blanks, since specs have commas and brackets. */
const names = (start: readonly string[], most: number): Field<readonly string[]> => ({
  start,
  read: (value) => {
    const found = value.split(/\s+/).filter(Boolean);
    return found.length <= most && found.every((name) => name.length <= 200) ? found : undefined;
  },
  expected: `at most ${most} names`,
});

/** Longer configs are planned, but not put into a link. */
export const longestConfig = 24_000;

const types = Object.keys(dtypes) as (keyof typeof dtypes)[];

/** The most tokens, sequences and sizes that are asked for; numbers stay exact far beyond what any machine holds. */
export const most = { batch: 2 ** 20, step: 2 ** 16, size: 2 ** 20, layers: 2000 };

/** One tab for a question, in the order of the page. */
export const tabs = [
  "memory",
  "machines",
  "layers",
  "engines",
  "compare",
  "survey",
  "crossover",
  "forms",
  "proof",
  "family",
  "run",
  "train",
  "reports",
] as const;

export const fields = {
  tab: oneOf(tabs[0], ...tabs),
  kind: oneOf("preset", "preset", "file", "spec"),
  model: text("deepseek-r1", 100),
  title: text("", 200),
  /** Of a GGUF file: the bytes of its tensors, and parameters beyond those that follow from its keys. */
  bytes: number(0, 2 ** 53 - 1),
  rest: number(0, 2 ** 40),
  /** The variant in place of what a config says. */
  as: text("", 300),
  config: text("", longestConfig),
  spec: text("MLA", 300),
  width: whole(2048, most.size),
  heads: whole(16, 4096),
  layers: whole(12, most.layers),
  vocabulary: whole(79_803, 2 ** 24),
  /** Tokens as people type them; as many as the model is declared for where it is empty. */
  context: text("", 20),
  batch: whole(1, most.batch),
  step: whole(1, most.step),
  weights: oneOf("file", "file", ...types),
  cache: oneOf("float16", ...types),
  /** Bytes as people type them; each machine's own where it is empty. */
  memory: text("", 20),
  /** Where it is empty, the smallest of each kind on which the model fits. */
  machines: names([], 100),
  layout: names([], 16),
  /** What machines with a processor beside them leave to it; nothing where it is empty. */
  offload: text("", 40),
  /** How engines are started, by their own flags; as usual where it is empty. */
  engine: text("", 200),
  /** The engine whose command line is shown. */
  serve: oneOf("vllm", "vllm", "sglang"),
  compare: names(["deepseek-r1", "qwen3-235b-a22b", "llama-3.1-405b", "gpt-oss-120b"], 40),
  match: text("", 100),
  /** What the table of all models and machines shows. */
  survey: oneOf("decode", "decode", "prefill", "longest"),
  fwidth: whole(2048, most.size),
  fheads: whole(16, 4096),
};

type Fields = typeof fields;
export type Tab = (typeof tabs)[number];
type Values = { readonly [K in keyof Fields]: Fields[K]["start"] | NonNullable<ReturnType<Fields[K]["read"]>> };
export type State = Values & {
  /** What the crossover's part keeps, by its own names; `x.` in the address. */
  readonly explorer: Readonly<Record<string, string>>;
};

const keys = Object.keys(fields) as (keyof Fields)[];

/** The state that a bare address stands for. */
export const start: State = {
  ...(Object.fromEntries(keys.map((name) => [name, fields[name].start])) as unknown as Values),
  explorer: {},
};

/** Reads what stands behind the #. What cannot be read is told of in a sentence each. */
export function readHash(hash: string): { state: State; complaints: string[] } {
  const state: Record<string, unknown> = { ...start };
  const explorer: Record<string, string> = {};
  const complaints: string[] = [];
  for (const [key, value] of new URLSearchParams(hash.replace(/^#/, ""))) {
    const shown = value.length > 40 ? `${value.slice(0, 37)}...` : value;
    if (/^x\.[a-z]\w{0,20}$/i.test(key) && value.length <= 100) explorer[key.slice(2)] = value;
    else if (!Object.hasOwn(fields, key))
      complaints.push(`link: got ${key.slice(0, 40)}, expected ${keys.join(", ")}; it was left out`);
    else {
      const { read, expected } = fields[key as keyof Fields] as Field<unknown>;
      const found = read(value);
      if (found === undefined)
        complaints.push(`link: ${key}: got "${shown}", expected ${expected}; the default stands`);
      else state[key] = found;
    }
  }
  return { state: { ...(state as Values), explorer }, complaints: complaints.slice(0, 5) };
}

/** The address of a state: what differs from the start, in the order of the fields. */
export function writeHash(state: State): string {
  const parts: [string, string][] = [];
  for (const name of keys) {
    const value = state[name];
    const text = Array.isArray(value) ? value.join(" ") : String(value ?? "");
    const usual = fields[name].start;
    if (text !== (Array.isArray(usual) ? usual.join(" ") : String(usual ?? ""))) parts.push([name, text]);
  }
  for (const [name, value] of Object.entries(state.explorer)) parts.push([`x.${name}`, value]);
  return `#${parts.map(([key, value]) => `${key}=${legible(value)}`).join("&")}`;
}

/** Escaped for an address, without what needs no escape behind a #. */
function legible(value: string): string {
  return encodeURIComponent(value)
    .replace(/%(2C|3A|2F|5B|5D|22|7B|7D)/g, (code) => (code === "%22" ? code : decodeURIComponent(code)))
    .replaceAll("%20", "+");
}

/** The state as it is, and the ways to change it. */
export interface Store {
  readonly now: State;
  /** What the address had wrong when the page was opened. */
  readonly complaints: readonly string[];
  /** Changes parts. While `passing` (a slider moves) the change joins the history's entry of the gesture. */
  change(part: Partial<State>, how?: { passing: boolean }): void;
}

/**
 * Ties the state to the address; `show` is called after every change. One gesture is one entry of the history, and while it lasts
 * the address follows a moment later, since browsers limit how often it may be written.
 */
export function openStore(show: (state: State, complaints: readonly string[]) => void): Store {
  let { state: now, complaints } = readHash(location.hash);
  let gesture = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const write = () => {
    clearTimeout(timer);
    const hash = writeHash(now);
    if (hash !== (location.hash || "#")) history.replaceState(null, "", hash);
  };
  addEventListener("hashchange", () => {
    clearTimeout(timer);
    gesture = false;
    ({ state: now, complaints } = readHash(location.hash));
    show(now, complaints);
  });
  addEventListener("pagehide", () => gesture && write());
  return {
    get now() {
      return now;
    },
    complaints,
    change(part, { passing } = { passing: false }) {
      const next = { ...now, ...part };
      const changed = writeHash(next) !== writeHash(now);
      now = next;
      if (changed && !gesture) {
        history.pushState(null, "", writeHash(now));
        gesture = true;
      }
      clearTimeout(timer);
      if (passing) timer = setTimeout(write, 250);
      else {
        write();
        gesture = false;
      }
      if (changed) show(now, []);
    },
  };
}
