import { defineAttention, type Sizes } from "../../src/attention/define.ts";
import { add, combine } from "../../src/ops/add/index.ts";
import { einsum } from "../../src/ops/einsum/index.ts";
import { Tensor, tensor } from "../../src/tensor/tensor.ts";

/** Projections, then the outer product into the state and the query's product with it. */
const cost = (z: Sizes) => ({
  token: 2 * z.d * z.h * (2 * z.n + 2 * z.v) + 4 * z.h * z.n * z.v,
  cached: 0,
  pair: 0,
});

/**
 * Linear attention without a norm, S_t = S_(t-1) + k_t v_t^T and o_t = q_t S_t: the smallest variant whose past is a state of
 * fixed size. It is here to show that a definition can have the second kind of cache, with no op made for it.
 * Source: Katharopoulos et al., "Transformers are RNNs" (2020), equations 16 to 20, with the identity as feature map.
 */
export const linear = defineAttention({
  name: "linear",
  source: "Katharopoulos et al. (arXiv 2006.16236)",
  rules: (z) => [[z.n > 0, "n", "the state has at least one row"]],
  params: () => ({ wQ: "d h n", wK: "d h n", wV: "d h v", wO: "h v d" }),
  query: () => ({ q: "h n", k: "h n", v: "h v" }),
  cache: () => ({}),
  state: () => ({ memory: "h n v" }),
  scale: (z) => z.n ** -0.5,
  project: (p, x) => ({
    q: einsum("t d, d h n -> t h n", x, p.wQ),
    k: einsum("t d, d h n -> t h n", x, p.wK),
    v: einsum("t d, d h v -> t h v", x, p.wV),
  }),
  forms: {
    parallel: {
      about: "all pairs of a chunk at once, the state for what came before",
      // And 2 h (n + v) for each of a chunk's t x t pairs, seen or not, which a cost has no word for.
      cost,
      run(_p, { q, k, v, memory }, { batch = 1 }) {
        const scores = einsum("t h n, s h n -> t s h", q, k);
        const masked = einsum("t s h, t s -> t s h", scores, seen(q, batch));
        const out = add(einsum("t s h, s h v -> t h v", masked, v), einsum("t h n, h n v -> t h v", q, memory));
        return { out, state: { memory: add(memory, einsum("t h n, t h v -> h n v", k, v)) } };
      },
    },
    recurrent: {
      about: "token by token; for inference, since rows of a tensor pass no gradient",
      cost,
      run(_p, { q, k, v, memory }, { batch = 1 }) {
        const out = new Tensor(v.device, v.shape);
        const length = q.shape[0]! / batch;
        let state = memory;
        for (let i = 0; i < q.shape[0]!; i++) {
          if (i % length === 0) state = memory;
          const [qi, ki, vi] = [q, k, v].map((t) => t.rows(i, i + 1));
          state = add(state, einsum("t h n, t h v -> h n v", ki!, vi!));
          combine(1, einsum("t h n, h n v -> t h v", qi!, state), 0, undefined, out.rows(i, i + 1));
        }
        return { out, state: { memory: state } };
      },
    },
  },
  output: (p, o) => einsum("t h v, h v d -> t d", o, p.wO),
});

/** 1 where a row may see another of its own sequence, not later than itself; 0 elsewhere: `[rows, rows]`. */
function seen(q: Tensor, batch: number): Tensor {
  const rows = q.shape[0]!;
  const length = rows / batch;
  const values = new Float64Array(rows * rows);
  for (let i = 0; i < rows; i++) for (let j = i - (i % length); j <= i; j++) values[i * rows + j] = 1;
  return tensor(q.device, [rows, rows], values);
}
