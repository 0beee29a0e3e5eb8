import type { AttendBackwardKernel, AttendCall, AttendKernel } from "./index.ts";

/** Attention by definition, one query and head at a time, in float64. */
export const attendReference: AttendKernel = (call, out, lse) => {
  const { h, values } = call;
  const width = values.reduce((sum, v) => sum + v.e, 0);
  const o = out.data.fill(0);
  for (const { row, head, keys } of queries(call)) {
    const { weights, sum, max } = softmax(call, row, head, keys);
    if (lse) lse.data[row * h + head] = keys.length ? max + Math.log(sum) : Number.NEGATIVE_INFINITY;
    let at = (row * h + head) * width;
    for (const { v, e, g } of values) {
      const x = v.data;
      keys.forEach((key, j) => {
        const from = (key * g + Math.floor((head * g) / h)) * e;
        for (let i = 0; i < e; i++) o[at + i]! += weights[j]! * x[from + i]!;
      });
      at += e;
    }
  }
};

/**
 * With P the weights and D = sum(g * out): dv = P^T g, dS = P (g v^T - D) scale, dq = dS k, dk = dS^T q.
 * Source: Dao et al., "FlashAttention" (2022), appendix B.2.
 */
export const attendBackwardReference: AttendBackwardKernel = (call, out, _lse, g, { dq, dk, dv }) => {
  const { h, values, terms, scale } = call;
  for (const t of [...dq, ...dk, ...dv]) t?.data.fill(0);
  const width = values.reduce((sum, v) => sum + v.e, 0);
  const [o, go] = [out.data, g.data];
  for (const { row, head, keys } of queries(call)) {
    const { weights } = softmax(call, row, head, keys);
    const base = (row * h + head) * width;
    let delta = 0;
    for (let i = 0; i < width; i++) delta += go[base + i]! * o[base + i]!;
    keys.forEach((key, j) => {
      const p = weights[j]!;
      let dp = 0;
      let at = base;
      values.forEach(({ v, e, g: groups }, which) => {
        const from = (key * groups + Math.floor((head * groups) / h)) * e;
        const [x, target] = [v.data, dv[which]?.data];
        for (let i = 0; i < e; i++) {
          dp += go[at + i]! * x[from + i]!;
          if (target) target[from + i]! += p * go[at + i]!;
        }
        at += e;
      });
      const ds = p * (dp - delta) * scale;
      terms.forEach(({ q, k, e, g: groups }, which) => {
        const from = (key * groups + Math.floor((head * groups) / h)) * e;
        const query = (row * h + head) * e;
        const [x, y, tq, tk] = [q.data, k.data, dq[which]?.data, dk[which]?.data];
        for (let i = 0; i < e; i++) {
          if (tq) tq[query + i]! += ds * y[from + i]!;
          if (tk) tk[from + i]! += ds * x[query + i]!;
        }
      });
    });
  }
};

/** Every query row and head with the key rows it sees. */
function* queries(call: AttendCall): Generator<{ row: number; head: number; keys: number[] }> {
  const { batch, t, s, h, causal, window } = call;
  for (let b = 0; b < batch; b++)
    for (let i = 0; i < t; i++) {
      const newest = i + s - t;
      const keys: number[] = [];
      for (let j = 0; j < s; j++)
        if ((!causal || j <= newest) && (!window || j > newest - window)) keys.push(b * s + j);
      for (let head = 0; head < h; head++) yield { row: b * t + i, head, keys };
    }
}

function softmax(call: AttendCall, row: number, head: number, keys: readonly number[]) {
  const terms = call.terms.map(({ q, k, e, g }) => ({ x: q.data, y: k.data, e, g }));
  const scores = keys.map((key) => {
    let score = 0;
    for (const { x, y, e, g } of terms) {
      const query = (row * call.h + head) * e;
      const from = (key * g + Math.floor((head * g) / call.h)) * e;
      for (let i = 0; i < e; i++) score += x[query + i]! * y[from + i]!;
    }
    return score * call.scale;
  });
  const max = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const weights = scores.map((score) => Math.exp(score - max));
  const sum = weights.reduce((a, b) => a + b, 0);
  return { weights: weights.map((w) => w / sum), sum, max };
}
