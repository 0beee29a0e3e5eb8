/** Whether MLA's two forms are one function: computed in the page, in float64, and able to fail. */
import {
  type Attention,
  Cache,
  drawNumbers,
  mla,
  type Parts,
  partsOn,
  positionsOf,
  ReferenceDevice,
  rotation,
  roundingOf,
  runAttention,
  type Sizes,
  scope,
  type Tensor,
  tensor,
  type Variant,
} from "biform/web";

/** What the reader may choose: MLA's sizes by letter, tokens in all, and where the random numbers begin. */
export interface Question {
  readonly h: number;
  readonly n: number;
  readonly r: number;
  readonly v: number;
  readonly c: number;
  readonly tokens: number;
  readonly seed: number;
}

/** DeepSeek-V3's dims of a head and rank, each an eighth, with 4 heads. */
export const usual: Question = { h: 4, n: 16, r: 8, v: 16, c: 64, tokens: 16, seed: 1 };

/** From and to, and in which steps. */
export const limits: Readonly<Record<keyof Question, readonly [least: number, most: number, step: number]>> = {
  h: [1, 8, 1],
  n: [2, 32, 2],
  r: [0, 32, 2],
  v: [2, 32, 2],
  c: [4, 128, 4],
  tokens: [4, 64, 4],
  seed: [1, 999_999, 1],
};

const width = 64;

/** The sizes as the library has them. */
export function sizesOf({ h, n, r, v, c }: Question): Sizes {
  return { d: width, h, g: 0, n, r, e: n + r, v, c, q: 0, o: 0 };
}

/** A way to break the equality on purpose: what is wrong with one form, and sizes at which nothing is. */
export interface Fault {
  readonly name: string;
  readonly about: string;
  /** Why it changes nothing at these sizes. */
  harmless?(question: Question): string | undefined;
  /** Both forms' attention. */
  break(attention: Attention): { readonly expanded: Attention; readonly absorbed: Attention };
}

const { absorbed } = mla.forms as Record<"absorbed", Variant["forms"][string]>;

/** MLA whose absorbed form is another. */
function withAbsorbed(attention: Attention, form: Partial<typeof absorbed>): Attention {
  return {
    ...attention,
    variant: { ...mla, forms: { ...mla.forms, absorbed: { ...absorbed, ...form } as typeof absorbed } },
  };
}

const normed = (attention: Attention): Attention => ({
  ...attention,
  sizes: { ...attention.sizes, with: { qkNorm: true } },
});

/** What can be broken, by the name that a control gives it. */
export const faults = {
  none: {
    name: "nothing",
    about: "Both forms as they are defined.",
    break: (attention) => ({ expanded: attention, absorbed: attention }),
  },
  norm: {
    name: "a norm on each head's key",
    about:
      "The expanded form norms each head's key, as some models do. The absorbed form never makes that key: the library refuses it, and what you see is the form run against that advice.",
    break: (attention) => ({
      expanded: normed(attention),
      absorbed: withAbsorbed(normed(attention), { refuses: () => undefined }),
    }),
  },
  scale: {
    name: "a wrong scale in the absorbed form",
    about:
      "The absorbed form divides its scores by the root of the width that it multiplies, c + r, where both must divide by that of the key that was trained, n + r.",
    harmless: ({ n, c }) => (n === c ? "n = c, so both scales are the same" : undefined),
    break: (attention) => ({
      expanded: attention,
      absorbed: { ...attention, scale: (attention.sizes.c + attention.sizes.r) ** -0.5 },
    }),
  },
  rotary: {
    name: "the rotary term left out of the absorbed form",
    about: "The absorbed form forgets the second term of the score, and with it where the tokens stand.",
    harmless: ({ r }) => (r === 0 ? "r = 0, so there is no rotary term" : undefined),
    break: (attention) => ({
      expanded: attention,
      absorbed: withAbsorbed(attention, {
        run: (p, { qr: _q, kr: _k, ...parts }, ...rest) => absorbed.run(p, parts as Parts, ...rest),
      }),
    }),
  },
} as const satisfies Readonly<Record<string, Fault>>;
export type FaultName = keyof typeof faults;

/** Both forms' outputs for the newer half of the tokens, and how far apart they are. */
export interface Proof {
  readonly question: Question;
  readonly fault: FaultName;
  /** `[new, d]`, row by row. */
  readonly outputs: { readonly expanded: Float64Array; readonly absorbed: Float64Array };
  /** Tokens whose latents both forms found in the cache, and those that came after them. */
  readonly cached: number;
  readonly added: number;
  readonly absolute: number;
  /** Divided by the largest magnitude of any output. */
  readonly relative: number;
  /** The relative difference that float64's rounding may explain. */
  readonly tolerance: number;
  /** What the library says to this absorbed form, where it refuses it. */
  readonly refusal: string | undefined;
  readonly milliseconds: number;
}

/**
 * Draws weights and hidden states, fills one cache with half of the tokens, and runs the other half in each form over a fork of
 * that cache: the same parameters, the same cached numbers.
 */
export async function prove(question: Question, fault: FaultName = "none"): Promise<Proof> {
  const start = performance.now();
  const sizes = sizesOf(question);
  const attention: Attention = { variant: mla, sizes, rotation: rotation(sizes.r) };
  const forms = faults[fault].break(attention);
  const device = new ReferenceDevice();
  const numbers = drawNumbers(forms.expanded, question);
  const p = partsOn(device, numbers);
  const x = tensor(device, [question.tokens, width], numbers.x);
  const cached = question.tokens >> 1;
  const added = question.tokens - cached;
  const cache = new Cache(device, attention, question.tokens);
  scope(device, () => {
    runAttention(forms.expanded, p, x.rows(0, cached), { positions: positionsOf(0, cached), cache });
  });
  const run = async (form: keyof typeof forms) => {
    const fork = cache.fork();
    const rows = x.rows(cached, question.tokens);
    const out: Tensor = scope(device, () =>
      runAttention(forms[form], p, rows, { positions: positionsOf(cached, added), form, cache: fork }),
    );
    return Float64Array.from(await out.read());
  };
  const outputs = { expanded: await run("expanded"), absorbed: await run("absorbed") };
  let [absolute, largest] = [0, 0];
  outputs.expanded.forEach((value, i) => {
    const other = outputs.absorbed[i]!;
    // NaN goes through Math.max, and so to the reader.
    absolute = Math.max(absolute, Math.abs(value - other));
    largest = Math.max(largest, Math.abs(value), Math.abs(other));
  });
  return {
    question,
    fault,
    outputs,
    cached,
    added,
    absolute,
    relative: largest ? absolute / largest : absolute,
    tolerance: roundingOf(sizes, question.tokens, 2 ** -53),
    refusal: mla.forms.absorbed!.refuses?.(forms.expanded.sizes) || undefined,
    milliseconds: performance.now() - start,
  };
}

/** Whether the forms are one function as far as float64 can tell. */
export function equal({ relative, tolerance }: Proof): boolean {
  return relative <= tolerance;
}
