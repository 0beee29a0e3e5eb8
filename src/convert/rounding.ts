import { blocks, dequantise, type Quant } from "../tensor/quant.ts";
import { isQuantised, quantise } from "../tensor/quantise.ts";
import { Random } from "../tensor/random.ts";

/**
 * How far blocks are from what they were made of, as a share of its length: of numbers that are normally distributed, as those of
 * matrices nearly are. Undefined for formats that are only read.
 */
export function roundingOf(type: Quant): number | undefined {
  if (!isQuantised(type)) return undefined;
  const numbers = new Random(1).normals(64 * blocks[type].elements);
  const rounded = new Float64Array(numbers.length);
  dequantise(type, quantise(type, numbers), rounded);
  const squares = (of: Float64Array) => of.reduce((sum, x) => sum + x * x, 0);
  return Math.sqrt(squares(rounded.map((x, i) => x - numbers[i]!)) / squares(numbers));
}
