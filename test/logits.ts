import { expect } from "vitest";
import { loadModel } from "../src/checkpoint/load.ts";
import { type Preset, presetConfig } from "../src/checkpoint/preset.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import type { Config } from "../src/family/config.ts";
import type { MlaLayout } from "../src/family/table.ts";
import { Session } from "../src/generate/session.ts";

export type Type = "F32" | "F16" | "Q8_0" | "Q4_0";
export const types: readonly Type[] = ["F32", "F16", "Q8_0", "Q4_0"];
export const models: readonly [Preset, MlaLayout][] = [
  ["llama", "absorbed"],
  ["qwen3", "absorbed"],
  ["deepseek2", "absorbed"],
  ["deepseek2", "joint"],
  ["deepseek2-moe", "absorbed"],
  ["deepseek2-moe", "joint"],
  ["deepseek3-moe", "absorbed"],
  ["minicpm3", "absorbed"],
  ["kimi-linear", "absorbed"],
  ["ling3", "absorbed"],
];
export const ids = Array.from({ length: 24 }, (_, i) => (i * 7919 + 13) % 311);
export const seed = 3;

/** A preset cut down to what float64 runs quickly; rows stay whole blocks of 32. */
export function small(preset: Preset): Config & { num_hidden_layers: number } {
  const config: Config = { ...presetConfig(preset, "tiny"), hidden_size: 128, intermediate_size: 192, vocab_size: 320 };
  const latent = { kv_lora_rank: 64, q_lora_rank: 96, moe_intermediate_size: 96 };
  const kept = Object.fromEntries(Object.entries(latent).filter(([key]) => config[key]));
  return { ...config, ...kept, num_hidden_layers: Number(config.num_hidden_layers) };
}

/** Whether tokens choose experts: of nearly equal ones 8 bits may choose another, which throws a row far off. */
export const isRouted = (config: Config): boolean => config.moe_intermediate_size !== undefined;

/**
 * What llama.cpp's rounding alone makes of the logits, as a share of their spread. It rounds the input of every product with a
 * matrix to the matrix's type: to float16, an error of 2^-11/sqrt(3) of each number; or to 8 bits by the largest of each 32,
 * which for 32 normal numbers lies near 2.3 deviations, an error of 2.3/127/sqrt(12). Such errors add as squares over the
 * products that follow each other: four in a layer, and the head. Float32 rounds each of a product's sums, hundreds of terms
 * long. Three times that is allowed: where a mixture of experts takes others for a near tie, the error is larger.
 */
export function bound(type: Type, layers: number): number {
  const rounding = { F32: 2 ** -24 * Math.sqrt(256), F16: 2 ** -11 / Math.sqrt(3), Q8_0: 0, Q4_0: 0 }[type];
  return 3 * (rounding || 2.3 / 127 / Math.sqrt(12)) * Math.sqrt(4 * layers + 1);
}

/**
 * Differences of log-probabilities up to a number per row, by the spread of the expected: their rms over all rows, that of the
 * middle row, and the largest.
 */
export function difference(got: Float64Array, expected: Float64Array): { rms: number; middle: number; worst: number } {
  expect(got.length).toBe(expected.length);
  const width = got.length / ids.length;
  const mean = (x: Float64Array) => x.reduce((sum, y) => sum + y, 0) / x.length;
  const squares: number[] = [];
  let [spread, worst] = [0, 0];
  for (let at = 0; at < got.length; at += width) {
    const [a, b] = [got.subarray(at, at + width), expected.subarray(at, at + width)];
    const [ma, mb] = [mean(a), mean(b)];
    const errors = a.map((x, i) => x - ma - (b[i]! - mb));
    squares.push(mean(errors.map((x) => x ** 2)));
    spread += mean(b.map((x) => (x - mb) ** 2)) / ids.length;
    worst = Math.max(worst, ...errors.map(Math.abs));
  }
  squares.sort((x, y) => x - y);
  return {
    rms: Math.sqrt(mean(Float64Array.from(squares)) / spread),
    middle: Math.sqrt(squares[ids.length >> 1]! / spread),
    worst: worst / Math.sqrt(spread),
  };
}

/** Biform's logits in float64 on the weights as the file has them, in one form. */
export async function biformLogits(path: string, form?: string): Promise<Float64Array> {
  const { model, weights } = await loadModel(path, new ReferenceDevice());
  return Float64Array.from(await new Session(model, weights).append(Int32Array.from(ids), form ? { form } : {}).read());
}
