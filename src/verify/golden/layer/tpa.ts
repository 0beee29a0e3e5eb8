import { z } from "zod";
import type { Sizes } from "../../../attention/define.ts";
import { tpa } from "../../../attention/variant/tpa.ts";
import { type Config, count, limits } from "../../../family/config.ts";
import { linear, vector } from "../../../family/source.ts";
import type { TensorReader } from "../../../file/safetensors.ts";
import { scaleBy } from "../../../ops/add/index.ts";
import { einsum } from "../../../ops/einsum/index.ts";
import { type Rotation, rotation } from "../../../ops/rope/index.ts";
import { FormatError } from "../../../tensor/error.ts";
import { type Tensor, tensor } from "../../../tensor/tensor.ts";
import { checkAgrees, type Manifest, readCaseConfig } from "../case.ts";
import { type LayerFamily, matrixOf, rearrange, shareOf } from "./family.ts";

const schema = z.object({
  n_head: count(limits.heads),
  head_dim: count(limits.width).optional(),
  n_embd: count(limits.width).optional(),
  rank: count(limits.width).optional(),
  q_rank: count(limits.width).optional(),
  using_groupnorm: z.boolean().default(false),
  groupnorm_eps: z.number().positive().max(1).default(1e-5),
  groupnorm_type: z.string().regex(/rms/i).optional(),
  softmax_scale: z.number().positive().optional(),
});

/** T6's tensor product attention; queries in full where the file has c_q. */
export const tpaLayers: LayerFamily = {
  knows: (has) => has("c_qkv.W_A_k.weight"),
  read(raw, given, said) {
    const turning = (key: string) => /rope|rotary/.test(key);
    const entries = Object.entries(raw);
    const config = readCaseConfig(Object.fromEntries(entries.filter(([key]) => !turning(key))), schema);
    const h = config.n_head;
    const [, d] = matrixOf(given, "c_qkv.W_A_k.weight");
    const full = given.has("c_qkv.c_q.weight");
    const [k, l] = [shareOf(given, "c_qkv.W_A_k.weight", h), shareOf(given, "c_qkv.W_A_v.weight", h)];
    const [e, v] = [shareOf(given, "c_qkv.W_B_k.weight", k), shareOf(given, "c_qkv.W_B_v.weight", l)];
    const q = full ? 0 : shareOf(given, "c_qkv.W_A_q.weight", h);
    checkAgrees("head_dim", config.head_dim, e);
    checkAgrees("n_embd", config.n_embd, d);
    checkAgrees("rank", config.rank, k);
    if (!full) checkAgrees("q_rank", config.q_rank, q);
    const words = Object.fromEntries(entries.filter(([key]) => turning(key)));
    const { r, base, layout } = turningOf(words, e);
    const normed = config.using_groupnorm;
    const sizes: Sizes = {
      d,
      h,
      g: 0,
      n: e - r,
      r,
      e,
      v,
      c: 0,
      q,
      o: 0,
      k,
      l,
      eps: config.groupnorm_eps,
      with: normed ? { outputNorm: true } : undefined,
    };
    const turn = rotationOf(layout, r, base);
    // Ours turns the last dims; T6's authors turn the first unless the case says otherwise.
    const first = r < e && !turnsLast(layout, said);
    const gain =
      normed && given.names.find((name) => /^(subln|c_norm|group_?norm|out_norm|o_norm)\.weight$/.test(name));
    const queryName = full ? "c_qkv.c_q.weight" : "c_qkv.W_B_q.weight";
    const weights = rearrange(given, {
      ...(first && { [queryName]: firstLast(given, queryName, e, r) }),
      ...(first && { "c_qkv.W_B_k.weight": firstLast(given, "c_qkv.W_B_k.weight", e, r) }),
      // A norm without gains.
      ...(normed && !gain && { "subln.weight": { shape: [v], of: () => new Float64Array(v).fill(1) } }),
    });
    const asGiven = (t: Tensor) => (first ? backFirst(t, e, r) : t);
    return {
      attention: {
        variant: tpa,
        sizes,
        rotation: turn,
        scale: config.softmax_scale,
      },
      weights,
      sources: {
        ...(full
          ? { wQ: linear(queryName, h * e, d) }
          : { wAQ: linear("c_qkv.W_A_q.weight", h * q, d), wBQ: linear(queryName, q * e, d) }),
        wAK: linear("c_qkv.W_A_k.weight", h * k, d),
        wBK: linear("c_qkv.W_B_k.weight", k * e, d),
        wAV: linear("c_qkv.W_A_v.weight", h * l, d),
        wBV: linear("c_qkv.W_B_v.weight", l * v, d),
        ...(normed && { gO: vector(gain || "subln.weight", v) }),
        wO: linear("c_proj.weight", d, h * v),
      },
      projected: (p, { q: query, ak, bk, av, bv }, x) => ({
        q_after_rope: asGiven(query!),
        k_after_rope: asGiven(scaleBy(einsum("s h k, s k e -> s h e", ak!, bk!), 1 / k)),
        v: scaleBy(einsum("s h k, s k e -> s h e", av!, bv!), 1 / l),
        cache_B_k_rotated: asGiven(bk!),
        cache_B_k: asGiven(einsum("t d, d k e -> t k e", x, p.wBK!)),
      }),
      cached: async (cache) => ({
        cache_A_k: { values: await cache.read("ak") },
        cache_A_v: { values: await cache.read("av") },
        cache_B_v: { values: await cache.read("bv") },
      }),
    };
  },
};

/**
 * What a config says of rotation: its base, its layout in words, and how many dims turn, as a number of them or a share. Where in
 * the layer it is done changes nothing: rotating a head's key is rotating the factor that all heads share.
 */
function turningOf(config: Config, e: number) {
  let [r, base, layout] = [e, 10000, undefined as string | undefined];
  for (const [key, value] of Object.entries(config)) {
    if (/layout/.test(key) && typeof value === "string") layout = value;
    else if (value === null || /contract|after|before/.test(typeof value === "string" ? value : key)) continue;
    else if (/^rope_(base|theta)$/.test(key) && typeof value === "number" && value > 1) base = value;
    else if (key === "use_rope" && typeof value === "boolean") r = value ? r : 0;
    else if (typeof value === "number") r = value <= 1 ? Math.round(value * e) : value;
    else throw new FormatError(`config.json: ${key}: got ${JSON.stringify(value)}, expected what is known of rotation`);
  }
  if (!Number.isInteger(r) || r < 0 || r > e || r % 2)
    throw new FormatError(`config.json: rotary dims: got ${r}, expected an even number up to the width ${e}`);
  return { r, base, layout };
}

/** T6's training code turns half-split pairs against Llama's sense; its inference code interleaved ones with it. */
function rotationOf(layout: string | undefined, r: number, base: number): Rotation {
  if (layout !== undefined && /interleav/i.test(layout) && !/half/i.test(layout))
    return rotation(r, base, "interleaved");
  if (layout !== undefined && /llama|neox/i.test(layout) && !/opposite/i.test(layout))
    throw new FormatError(
      `config.json: rope_layout: got ${JSON.stringify(layout)}, expected half-split pairs of the opposite sign, or interleaved ones`,
    );
  const plain = rotation(r, base, "half");
  return { ...plain, frequencies: plain.frequencies.map((f) => -f) };
}

/** Whether the case says in words that it is the last dims of a head that turn. */
function turnsLast(layout: string | undefined, { meaning = {}, notes = [] }: Manifest): boolean {
  return [layout, ...Object.values(meaning), ...notes].some((text) => /\blast\b[^.;]*\bdim/i.test(String(text)));
}

/** Rows in blocks of e, the first r of each moved behind the others. */
function firstLast(weights: TensorReader, name: string, e: number, r: number) {
  const { shape } = weights.entry(name);
  return {
    shape,
    of: (values: ArrayLike<number>) =>
      Float64Array.from({ length: values.length }, (_, i) => {
        const width = shape[1]!;
        const row = Math.floor(i / width);
        const place = row % e;
        return values[(row - place + ((place + r) % e)) * width + (i % width)]!;
      }),
  };
}

/** Vectors `[s, h, e]` with the last r dims of each back in front, as the file has them. */
function backFirst(t: Tensor, e: number, r: number): Tensor {
  const places = Float64Array.from({ length: e * e }, (_, i) => (i % e === (Math.floor(i / e) + r) % e ? 1 : 0));
  return einsum("s h e, e f -> s h f", t, tensor(t.device, [e, e], places));
}
