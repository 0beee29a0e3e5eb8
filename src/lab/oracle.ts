import { formNames, type Parts } from "../attention/define.ts";
import { type Attention, Cache, runAttention } from "../attention/layer.ts";
import { generate, Session } from "../generate/session.ts";
import { formsOf, type Model } from "../model/model.ts";
import type { Weights } from "../model/transformer.ts";
import { einsum } from "../ops/einsum/index.ts";
import { positionsOf } from "../ops/rope/index.ts";
import { FormatError } from "../tensor/error.ts";
import { Random } from "../tensor/random.ts";
import { type Device, scope, sizeOf, type Tensor, tensor } from "../tensor/tensor.ts";

/** An array of expected numbers; axis 0 counts sequences. */
export interface Expected {
  readonly shape: readonly number[];
  readonly values: ArrayLike<number>;
}

/** What an oracle computed, and how far from it one may land. */
export interface Oracle {
  readonly tensors: ReadonlyMap<string, Expected>;
  /** Largest absolute difference allowed for a tensor. Throws FormatError where none is given. */
  tolerance(name: string): number;
  /** Tokens run at once before the rest goes one by one. */
  readonly prefill: number;
}

/** One tensor compared: the largest absolute difference found and the one allowed. */
export interface Finding {
  readonly subject: string;
  readonly error: number;
  readonly tolerance: number;
}

/** Collects comparisons and keeps the worst, measured against its tolerance. */
export class Ledger {
  /** The comparison with the largest error in tolerances. */
  worst: Finding | undefined;
  /** What is wrong beside numbers: other ids, numbers that are none. */
  readonly faults: string[] = [];
  readonly compared = new Set<string>();

  /** Compares `got` with `expected`, element by element. Throws FormatError where their counts differ. */
  add(name: string, where: string, got: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
    const subject = `${name} (${where})`;
    if (got.length !== expected.length)
      throw new FormatError(`${subject}: got ${expected.length} expected numbers in the file, expected ${got.length}`);
    this.compared.add(name);
    let error = 0;
    for (let i = 0; i < got.length; i++) {
      const difference = Math.abs(got[i]! - expected[i]!);
      if (!Number.isFinite(difference)) {
        this.faults.push(`${subject}: got ${got[i]}, expected ${expected[i]}`);
        return;
      }
      if (difference > error) error = difference;
    }
    if (!this.worst || error * this.worst.tolerance > this.worst.error * tolerance)
      this.worst = { subject, error, tolerance };
  }

  /** Compares whole numbers, which must be the same. */
  same(name: string, where: string, got: ArrayLike<number>, expected: ArrayLike<number>): void {
    this.compared.add(name);
    const [a, b] = [Array.from(got).join(" "), Array.from(expected).join(" ")];
    if (a !== b) this.faults.push(`${name} (${where}): got ${a}, expected exactly ${b}`);
  }

  /** True where everything was within its tolerance. */
  get passed(): boolean {
    return this.faults.length === 0 && this.worst !== undefined && this.worst.error <= this.worst.tolerance;
  }

  /** Why it did not pass, in a line; undefined where it did. */
  get reason(): string | undefined {
    if (this.passed) return undefined;
    if (this.faults[0]) return this.faults[0];
    if (!this.worst) return "nothing in the case could be compared";
    const { subject, error, tolerance } = this.worst;
    return `${subject}: largest error ${error.toPrecision(3)}, tolerance ${tolerance}`;
  }
}

/** Element `item` of axis 0. */
function part({ shape, values }: Expected, item: number): number[] {
  const each = sizeOf(shape.slice(1));
  return Array.from({ length: each }, (_, i) => values[item * each + i]!);
}

/** Ways to cut `length` tokens: all at once, a prefill and then one by one, and one by one from the first. */
function cuts(
  length: number,
  prefill: number,
): readonly { name: "prefill" | "decode"; from: string; chunks: number[] }[] {
  const ones = (n: number) => Array.from({ length: Math.max(0, n) }, () => 1);
  return [
    { name: "prefill", from: "at once", chunks: [length] },
    { name: "decode", from: `from ${prefill}`, chunks: [prefill, ...ones(length - prefill)] },
    { name: "decode", from: "from 1", chunks: ones(length) },
  ];
}

/**
 * Runs a model in every form, at once and step by step, and compares logits, hidden states, caches and greedy choices with
 * an oracle's: `input_ids [b, t]`, `logits_prefill` and `logits_decode [b, t, w]`, `hidden.i [b, t, d]`,
 * `cache.i.0/1 [b, 1, t, n]`, `greedy_ids [b, n]`; each but the first where it is there. Throws FormatError.
 */
export async function compareModel(model: Model, weights: Weights, oracle: Oracle, ledger: Ledger): Promise<void> {
  const { tensors, prefill, tolerance } = oracle;
  const input = tensors.get("input_ids");
  const [batch = 0, length = 0] = input?.shape ?? [];
  if (input?.shape.length !== 2 || prefill < 1 || prefill > length)
    throw new FormatError(
      `input_ids: got [${input?.shape}] and a prefill of ${prefill}, expected [batch, tokens] to hold it`,
    );
  const { kind } = weights.get("embed")!.device;
  for (const form of formsOf(model))
    for (let item = 0; item < batch; item++) {
      const ids = Int32Array.from(part(input, item));
      const compare = (name: string, where: string, got: ArrayLike<number>) => {
        const expected = tensors.get(name);
        if (expected) ledger.add(name, where, got, part(expected, item), tolerance(name));
      };
      for (const { name, from, chunks } of cuts(length, prefill)) {
        const where = `${form}, ${from}, sequence ${item}, ${kind}`;
        const found = await walk(model, weights, ids, chunks, form);
        compare(`logits_${name}`, where, found.logits);
        for (const [i, hidden] of found.hidden.entries()) compare(`hidden.${i}`, where, hidden);
        for (const [key, values] of found.caches) compare(key, where, values);
      }
      const greedy = tensors.get("greedy_ids");
      if (greedy) {
        const wanted = part(greedy, item);
        const options = { count: wanted.length, temperature: 0, random: new Random(0), form };
        const got = await generate(model, weights, ids.slice(0, prefill), options);
        ledger.same("greedy_ids", `${form}, sequence ${item}, ${kind}`, got, wanted);
      }
    }
}

/** Feeds one sequence through a session in chunks; all logits, hidden states and, at the end, caches. */
async function walk(model: Model, weights: Weights, ids: Int32Array, chunks: readonly number[], form: string) {
  const session = new Session(model, weights, ids.length);
  const logits: number[] = [];
  const hidden: number[][] = Array.from({ length: model.layers.length + 1 }, () => []);
  try {
    for (const n of chunks) {
      const seen: Promise<ArrayLike<number>>[] = [];
      const out = session.append(ids.slice(session.length, session.length + n), {
        form,
        watch: (state) => seen.push(state.read()),
      });
      logits.push(...Array.from(await out.read()));
      out.free();
      for (const [i, values] of (await Promise.all(seen)).entries()) hidden[i]!.push(...Array.from(values));
    }
    const caches = new Map<string, ArrayLike<number>>();
    // In the order of the definition: for MLA the latent, then the rotary key.
    for (const [i, cache] of session.caches.entries())
      for (const [j, rows] of Object.values(cache.rows).entries())
        caches.set(`cache.${i}.${j}`, await rows.rows(0, cache.length).read());
    return { logits, hidden, caches };
  } finally {
    session.free();
  }
}

/**
 * Runs one MLA layer on `hidden_states [b, t, d]` in both forms, at once and step by step, and compares outputs, caches and
 * the intermediates that are there: `out_prefill`, `out_decode`, the same with `_absorb`, `latent_cache`,
 * `rope_key_cache_interleaved`, `q_nope`, `q_rope_rotated_interleaved`, `q_absorbed`, `freqs`. Throws FormatError.
 */
export async function compareLayer(
  attention: Attention,
  p: Parts,
  input: Expected,
  oracle: Oracle,
  ledger: Ledger,
): Promise<void> {
  const { tensors, prefill, tolerance } = oracle;
  const { d } = attention.sizes;
  const [batch = 0, length = 0, width] = input.shape;
  if (input.shape.length !== 3 || width !== d || prefill < 1 || prefill > length)
    throw new FormatError(
      `hidden_states: got [${input.shape}] and a prefill of ${prefill}, expected [batch, tokens, ${d}]`,
    );
  const { device } = p.wO!;
  const add = (name: string, item: number, how: string, got: ArrayLike<number>) => {
    const expected = tensors.get(name);
    if (expected)
      ledger.add(name, `${how}, sequence ${item}, ${device.kind}`, got, part(expected, item), tolerance(name));
  };
  const freqs = tensors.get("freqs");
  if (freqs) ledger.add("freqs", "rotation", attention.rotation.frequencies, freqs.values, tolerance("freqs"));
  for (let item = 0; item < batch; item++) {
    const x = tensor(device, [length, d], part(input, item));
    for (const form of formNames(attention.variant, attention.sizes))
      for (const { name, from, chunks } of cuts(length, prefill)) {
        const how = `${form}, ${from}`;
        const cache = new Cache(device, attention, length);
        const got: number[] = [];
        for (const n of chunks) {
          const out = step(attention, p, x, cache, n, form);
          got.push(...Array.from(await out.read()));
          out.free();
        }
        const absorb = `out_${name}_absorb`;
        add(form === "absorbed" && tensors.has(absorb) ? absorb : `out_${name}`, item, how, got);
        add("latent_cache", item, how, await cache.rows.c!.read());
        if (attention.rotation.layout === "interleaved")
          add("rope_key_cache_interleaved", item, how, await cache.rows.kr!.read());
        cache.free();
      }
    for (const [name, t] of Object.entries(intermediates(attention, p, x, device))) {
      add(name, item, "projection", await t.read());
      t.free();
    }
    x.free();
  }
}

function step(attention: Attention, p: Parts, x: Tensor, cache: Cache, n: number, form: string): Tensor {
  const start = cache.length;
  return scope(x.device, () =>
    runAttention(attention, p, x.rows(start, start + n), { positions: positionsOf(start, n), form, cache }),
  );
}

/** The queries under the names the layer cases give them. */
function intermediates(attention: Attention, p: Parts, x: Tensor, device: Device): Record<string, Tensor> {
  const { variant, rotation, sizes } = attention;
  return scope(device, () => {
    const made = variant.project(
      p,
      x,
      { positions: positionsOf(0, x.shape[0]!), rotation, batch: 1 },
      sizes,
      undefined,
    );
    return {
      q_nope: made.qn!,
      q_absorbed: einsum("t h n, c h n -> t h c", made.qn!, p.wUK!),
      ...(rotation.layout === "interleaved" && { q_rope_rotated_interleaved: made.qr! }),
    };
  });
}
