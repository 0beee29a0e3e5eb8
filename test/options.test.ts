import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ReferenceDevice } from "../src/device/reference.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { writeSafetensors } from "../src/file/disk.ts";
import type { Device } from "../src/tensor/tensor.ts";
import { verifyGolden } from "../src/verify/golden/golden.ts";
import {
  deltaLayer,
  drawn,
  forget,
  foxLayer,
  type Nested,
  nested,
  type Rows,
  range,
  rule,
  type Stored,
  silu,
  tpaLayer,
  type Weights,
} from "./fixture/layers.ts";

// Options that no golden vector here has, each as a case in the golden format whose expected numbers come from plain loops. In
// float64 they are met to 1e-10, in float32 to what the golden vectors allow numbers of this size.
let dir = "";
let wasm: Device;
beforeAll(async () => {
  wasm = await WasmDevice.open({ threads: 2 });
});
afterAll(() => wasm.close());
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "biform-options-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

interface Case {
  readonly kind: "op" | "attention_layer";
  readonly config: object;
  readonly meaning?: object;
  readonly weights?: Weights;
  readonly inputs: Iterable<Stored>;
  readonly expected: Readonly<Record<string, Nested>>;
}

/** A nested array as a tensor. */
function stored(name: string, array: Nested): Stored {
  const shape: number[] = [];
  for (let at = array; Array.isArray(at); at = at[0]) shape.push(at.length);
  return { name, shape, data: Float64Array.from([array].flat(Number.POSITIVE_INFINITY) as number[]) };
}

/** Writes a case and runs it on both devices: what each says, which should be nothing. */
async function faults({ kind, config, meaning, weights, inputs, expected }: Case): Promise<string[]> {
  const found: string[] = [];
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, "config.json"), JSON.stringify(config));
  if (weights) await writeSafetensors(join(dir, "weights.safetensors"), [...weights.values()]);
  await writeSafetensors(join(dir, "inputs.safetensors"), [...inputs]);
  const tensors = Object.entries(expected).map(([name, array]) => stored(name, array));
  await writeSafetensors(join(dir, "expected.safetensors"), tensors);
  for (const [device, tolerance] of [
    [new ReferenceDevice(), 1e-10],
    [wasm, 1e-4],
  ] as const) {
    const limits = Object.fromEntries(tensors.map(({ name }) => [name, { max_abs: tolerance }]));
    await writeFile(join(dir, "manifest.json"), JSON.stringify({ kind, tolerance: limits, meaning }));
    const { cases } = await verifyGolden(dir, { devices: [device] });
    for (const { status, reason } of cases)
      if (status !== "pass" || reason) found.push(`${device.kind}: ${status}: ${reason}`);
  }
  return found;
}

const turnedHeads = (x: Nested[][]) => x[0]!.map((_, h) => x.map((t) => t[h]));
const d = 10;
const hidden = (seed: number, t = 7, batch = 2) => drawn(seed, { hidden_states: [batch, t, d] }).get("hidden_states")!;

describe("TPA", () => {
  const [h, e] = [3, 8];
  const factors = { "c_qkv.W_A_k.weight": [h * 2, d], "c_qkv.W_A_v.weight": [h * 2, d] };
  const dims = { "c_qkv.W_B_k.weight": [2 * e, d], "c_qkv.W_B_v.weight": [2 * e, d], "c_proj.weight": [d, h * e] };
  const config = { n_head: h, head_dim: e, n_embd: d, rank: 2, q_rank: 3, rope_base: 100 };

  test.each([
    [
      "norm, half of the dims turned, the first",
      0,
      { rope_dim: 4, rope_after_contraction: true, using_groupnorm: true },
      4,
      true,
    ],
    ["norm without gains", 0, { using_groupnorm: true, groupnorm_eps: 0.01 }, 8, false],
    [
      "the last dims turned",
      2,
      { partial_rotary_factor: 0.75, rope_layout: "half, opposite sign, last dims" },
      6,
      false,
    ],
  ])("%s", async (_what, from, options, r, gain) => {
    const normed = "using_groupnorm" in options;
    const eps = { ...(normed && { eps: "groupnorm_eps" in options ? options.groupnorm_eps! : 1e-5 }) };
    for (const queries of [
      { "c_qkv.c_q.weight": [h * e, d] },
      { "c_qkv.W_A_q.weight": [h * 3, d], "c_qkv.W_B_q.weight": [3 * e, d] },
    ]) {
      const weights = drawn(3, { ...factors, ...dims, ...queries, ...(gain && { "subln.weight": [e] }) });
      const x = hidden(4);
      const found = nested(x).map((one: Rows) => tpaLayer(weights, one, { h, e, from, r, base: 100, ...eps }));
      const out = found.map((one: { out: Rows }) => one.out);
      const expected = {
        out_prefill: out,
        out_decode: out,
        q_after_rope: found.map((one: { q: Rows[] }) => one.q),
        k_after_rope: found.map((one: { k: Rows[] }) => one.k),
      };
      const given = { ...config, ...options };
      expect(await faults({ kind: "attention_layer", config: given, weights, inputs: [x], expected })).toEqual([]);
    }
  });
});

describe("FoX", () => {
  const [h, e] = [4, 6];

  test.each([
    ["silu gate, shifts, from one token", { ogate_act: "silu" }, silu],
    ["sigmoid gate", {}, undefined],
  ])("%s, left padding", async (_what, options, act) => {
    const projections = { "k_proj.linear.weight": [h * e, d], "v_proj.linear.weight": [h * e, d] };
    const shifts = { "k_proj.shift_proj.weight": [h, d], "v_proj.shift_proj.weight": [h, d] };
    const gates = { "fgate_proj.weight": [h, d], "fgate_proj.bias": [h], "ogate_proj.weight": [h * e, d] };
    const outer = { "q_proj.weight": [h * e, d], "o_proj.weight": [d, h * e] };
    const weights = drawn(5, { ...projections, ...shifts, ...gates, ...outer });
    const x = hidden(6);
    const padding = [0, 3];
    const z = { h, g: h, e, gate: "fgate_proj", outer: "ogate_proj", ...(act && { act }) };
    const out = nested(x).map((one: Rows, b: number) => [
      ...one.slice(0, padding[b]!).map((row) => row.map(() => 0)),
      ...foxLayer(weights, one.slice(padding[b]!), z),
    ]);
    const mask = stored(
      "attention_mask",
      padding.map((skip) => range(7).map((t) => (t < skip ? 0 : 1))),
    );
    const config = { num_heads: h, hidden_size: d, decode_prefill_len: 1, use_output_gate: true, ...options };
    const expected = { out_prefill: out, out_decode: out };
    expect(await faults({ kind: "attention_layer", config, weights, inputs: [x, mask], expected })).toEqual([]);
  });

  test("query and key norms with an output gate, over groups", async () => {
    const g = 2;
    const inner = { "q_proj.weight": [h * e, d], "k_proj.weight": [g * e, d], "v_proj.weight": [g * e, d] };
    const norms = { "q_norm.weight": [h * e], "k_norm.weight": [g * e] };
    const gates = { "f_proj.weight": [h, d], "f_proj.bias": [h], "g_proj.weight": [h * e, d] };
    const weights = drawn(7, { ...inner, ...norms, ...gates, "o_proj.weight": [d, h * e] });
    const x = hidden(8);
    const out = nested(x).map((one: Rows) => foxLayer(weights, one, { h, g, e, gate: "f_proj", outer: "g_proj" }));
    const config = { num_heads: h, num_kv_heads: g, qk_norm: true, use_output_gate: true, window_size: 2 };
    const expected = { out_prefill: out, out_decode: out };
    expect(await faults({ kind: "attention_layer", config, weights, inputs: [x], expected })).toEqual([]);
  });

  test.each([
    ["window, left padding and suffix queries together", { window_size: 4, left_padding: [2, 6] }, 4],
    ["left padding, for queries that see nothing", { left_padding: 3 }, 9],
    ["a window of one", { window_size: 1 }, 1],
  ])("the operator: %s", async (_what, options, t) => {
    const all = drawn(9, { q: [2, t, h, e], k: [2, 9, 2, e], v: [2, 9, 2, e], log_fgate: [2, 9, h] });
    const gates = all.get("log_fgate")!;
    gates.data.forEach((value, i) => {
      gates.data[i] = -Math.abs(value);
    });
    const [q, k, v, f] = ["q", "k", "v", "log_fgate"].map((name) => nested(all.get(name)!));
    const out = range(2).map((b) => {
      const padding = "left_padding" in options ? options.left_padding! : 0;
      const view = {
        scale: 0.3,
        ...("window_size" in options && { window: options.window_size! }),
        start: typeof padding === "number" ? padding : padding[b]!,
      };
      const of = (x: Nested, i: number) => x[b].map((one: Rows) => one[i]);
      const heads = range(h).map((i) => {
        const group = Math.floor(i / 2);
        return forget(of(q, i), of(k, group), of(v, group), of(f, i) as never, view);
      });
      return range(t).map((i) => heads.map((rows) => rows[i]));
    });
    const config = { layout: "[B,T,H,D]", sm_scale: 0.3, ...options };
    expect(await faults({ kind: "op", config, inputs: all.values(), expected: { out } })).toEqual([]);
    const swapped = [...all.values()].map((x) => stored(x.name, nested(x).map(turnedHeads)));
    const first = { ...config, layout: "head first [B,H,T,D]" };
    const expected = { out: out.map(turnedHeads) };
    expect(await faults({ kind: "op", config: first, inputs: swapped, expected })).toEqual([]);
  });
});

describe("the delta rule", () => {
  const [h, g, n, v] = [4, 2, 6, 9];

  test.each([
    ["KDA", true],
    ["gated delta net", false],
  ])("%s: grouped value heads, biased convolutions, doubled beta, an initial state", async (_what, perChannel) => {
    const taps = 3;
    const convolutions = Object.fromEntries(
      (["q", "k", "v"] as const).flatMap((part) => {
        const channels = part === "v" ? h * v : g * n;
        return [
          [`${part}_proj.weight`, [channels, d]],
          [`${part}_conv1d.weight`, [channels, 1, taps]],
          [`${part}_conv1d.bias`, [channels]],
        ] as const;
      }),
    );
    const gates = perChannel
      ? {
          "f_proj.0.weight": [5, d],
          "f_proj.1.weight": [h * n, 5],
          dt_bias: [h * n],
          "g_proj.0.weight": [5, d],
          "g_proj.1.weight": [h * v, 5],
          "g_proj.1.bias": [h * v],
        }
      : { "a_proj.weight": [h, d], dt_bias: [h], "g_proj.weight": [h * v, d] };
    const rest = { "b_proj.weight": [h, d], A_log: [h], "o_norm.weight": [v], "o_proj.weight": [d, h * v] };
    const weights = drawn(11, { ...convolutions, ...gates, ...rest });
    const x = hidden(12);
    const begun = drawn(13, {
      initial_state: [2, h, n, v],
      conv_state_q: [2, g * n, taps],
      conv_state_k: [2, g * n, taps],
      conv_state_v: [2, h * v, taps],
    });
    const [state, q, k, values] = [...begun.values()].map(nested);
    const z = { h, g, n, v, eps: 1e-3, step: 2 };
    const out = nested(x).map((one: Rows, b: number) =>
      deltaLayer(weights, one, z, state[b], { q: q[b], k: k[b], v: values[b] }),
    );
    const config = {
      hidden_size: d,
      head_dim: n,
      num_heads: g,
      num_v_heads: h,
      expand_v: 1.5,
      conv_size: taps,
      conv_bias: true,
      allow_neg_eigval: true,
      norm_eps: 1e-3,
      decode_prefill_len: 1,
    };
    const expected = { out_prefill: out, out_decode: out, recurrent_state_final: state };
    expect(
      await faults({ kind: "attention_layer", config, weights, inputs: [x, ...begun.values()], expected }),
    ).toEqual([]);
  });

  test.each([
    ["per channel", [n]],
    ["per head", []],
  ])("the operator: grouped value heads from an initial state, decay %s", async (_what, channels) => {
    const shapes = { q: [2, 8, g, n], k: [2, 8, g, n], v: [2, 8, h, v], beta: [2, 8, h], g: [2, 8, h, ...channels] };
    const all = drawn(14, { ...shapes, initial_state: [2, h, n, v] });
    for (const name of ["beta", "g"])
      all.get(name)!.data.forEach((value, i, data) => {
        data[i] = name === "g" ? -Math.abs(value) : 2 / (1 + Math.exp(-value));
      });
    for (const x of [all.get("q")!, all.get("k")!])
      for (let i = 0; i < x.data.length; i += n) {
        const size = Math.hypot(...x.data.subarray(i, i + n));
        for (let j = 0; j < n; j++) x.data[i + j]! /= size;
      }
    const [q, k, values, beta, decay, state] = [...all.values()].map(nested);
    const prefixes: unknown[] = [];
    const out = range(2).map((b) => {
      const run = (from: number, to: number) =>
        range(h).map((i) => {
          const of = (x: Nested, at: number) => x[b].slice(from, to).map((one: Rows) => one[at]);
          const fade = of(decay, i).map((y: number | number[]) => [y].flat());
          const group = Math.floor(i / 2);
          return rule(of(q, group), of(k, group), of(values, i), of(beta, i), fade, state[b][i], 0.4);
        });
      const before = run(0, 3);
      prefixes.push(structuredClone(state[b]));
      const after = run(3, 8);
      return range(8).map((t) => range(h).map((i) => [...before[i]!, ...after[i]!][t]));
    });
    const expected = { out, final_state: state, state_after_prefix: prefixes };
    const meaning = { state_after_prefix: "state after the first 3 tokens" };
    const config = { layout: "[B,T,H,*]; state [B,HV,K,V]", v_heads: h, scale: 0.4 };
    expect(await faults({ kind: "op", config, meaning, inputs: all.values(), expected })).toEqual([]);
  });
});
