/** One token of one head as the rule sees it: slices of the inputs, with exp(decay) per channel. */
export interface Token {
  /** Row of the inputs, and of `[rows, h]`. */
  readonly row: number;
  readonly at: number;
  readonly q: Float64Array;
  readonly k: Float64Array;
  readonly v: Float64Array;
  readonly beta: number;
  readonly decay: Float64Array;
}

/**
 * One chunk of one head by the chunked algorithm, in float64: all tokens' corrections U from one triangular system,
 * (I + A) U = beta (V - Khat S0), then outputs and the next state as products. README.md derives it.
 * @returns the state after the chunk; writes the outputs to `out`.
 */
export function chunkedHead(
  tokens: readonly Token[],
  S0: Float64Array,
  scale: number,
  out: Float64Array,
): Float64Array {
  const n = tokens[0]!.k.length;
  const width = tokens[0]!.v.length;
  // Decay of each channel since the chunk's start, and of each earlier key since it was written.
  const gamma = new Float64Array(n).fill(1);
  const keys: Float64Array[] = [];
  const U: Float64Array[] = [];
  for (const { at, q, k, v, beta, decay } of tokens) {
    for (let c = 0; c < n; c++) {
      gamma[c]! *= decay[c]!;
      for (const key of keys) key[c]! *= decay[c]!;
    }
    const read = (x: Float64Array, into: Float64Array, factor: number) => {
      for (let c = 0; c < n; c++)
        for (let i = 0; i < width; i++) into[i]! += factor * x[c]! * gamma[c]! * S0[c * width + i]!;
      keys.forEach((key, j) => {
        const weight = factor * x.reduce((sum, xc, c) => sum + xc * key[c]!, 0);
        for (let i = 0; i < width; i++) into[i]! += weight * U[j]![i]!;
      });
      return into;
    };
    const u = read(
      k,
      v.map((x) => beta * x),
      -beta,
    );
    keys.push(k.slice());
    U.push(u);
    out.set(read(q, new Float64Array(width), scale), at * width);
  }
  return S0.map((x, at) => {
    const [c, i] = [Math.floor(at / width), at % width];
    return keys.reduce((sum, key, j) => sum + key[c]! * U[j]![i]!, gamma[c]! * x);
  });
}
