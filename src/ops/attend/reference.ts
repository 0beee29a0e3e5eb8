import { dataOf } from "../../device/float.ts";
import { numbersOf } from "../pages/reference.ts";
import type { AttendBackwardKernel, AttendCall, AttendEachKernel, AttendKernel } from "./index.ts";

/** Attention by definition, one query and head at a time, in float64. */
export const attendReference: AttendKernel = (call, out, lse) => {
  const { h } = call;
  const terms = termsOf(call);
  const values = call.values.map(({ v, e, g }) => ({ x: numbersOf(v), e, g }));
  const width = values.reduce((sum, v) => sum + v.e, 0);
  const o = dataOf(out).fill(0);
  for (const { row, head, keys, own } of queries(call)) {
    const { weights, total } = weigh(call, terms, row, head, keys);
    if (lse) dataOf(lse)[row * h + head] = total;
    let at = (row * h + head) * width;
    for (const { x, e, g } of values) {
      const take = (key: number, weight: number) => {
        const from = (key * g + Math.floor((head * g) / h)) * e;
        for (let i = 0; i < e; i++) o[at + i]! += weight * x[from + i]!;
      };
      keys.forEach((key, j) => {
        take(key, weights[j]!);
      });
      if (own !== undefined) take(own, total);
      at += e;
    }
  }
};

export const attendEachReference: AttendEachKernel = (calls, outs) => {
  calls.forEach((call, i) => {
    attendReference(call, outs[i]!, undefined);
  });
};

/**
 * With P the weights, G = P (g v^T) and D = sum(g * out): dv = P^T g, dq = dS k scale, dk = dS^T q scale, where
 * dS = G - P D for softmax (Dao et al., "FlashAttention", 2022, appendix B.2), dS = G - sigmoid(z) (D - sum of G over
 * newer keys) for stick-breaking; a sink's gradient is that of a key whose value is 0: the sum of -P D.
 */
export const attendBackwardReference: AttendBackwardKernel = (call, out, lse, g, { dq, dk, dv, dsinks }) => {
  const { h, values, terms, scale, sinks, stick } = call;
  for (const t of [...dq, ...dk, ...dv, dsinks]) dataOf(t)?.fill(0);
  const width = values.reduce((sum, v) => sum + v.e, 0);
  const [o, go] = [dataOf(out), dataOf(g)];
  const operands = termsOf(call);
  for (const { row, head, keys, own } of queries(call)) {
    const { weights, sigmoids } = weigh(call, operands, row, head, keys);
    const base = (row * h + head) * width;
    const total = dataOf(lse)[row * h + head]!;
    let delta = 0;
    for (let i = 0; i < width; i++) delta += go[base + i]! * o[base + i]!;
    if (sinks && dsinks) dataOf(dsinks)[head]! -= Math.exp(dataOf(sinks)[head]! - total) * delta;
    /** Gives `weight` of g to the key's value row; returns the product of g and that row. */
    const give = (key: number, weight: number) => {
      let dp = 0;
      let at = base;
      values.forEach(({ v, e, g: groups }, which) => {
        const from = (key * groups + Math.floor((head * groups) / h)) * e;
        const [x, target] = [dataOf(v), dataOf(dv[which])];
        for (let i = 0; i < e; i++) {
          dp += go[at + i]! * x[from + i]!;
          if (target) target[from + i]! += weight * go[at + i]!;
        }
        at += e;
      });
      return dp;
    };
    if (own !== undefined) give(own, total);
    // Newest first; `rest` is D less what the newer keys had of it.
    let rest = delta;
    for (let j = keys.length - 1; j >= 0; j--) {
      const key = keys[j]!;
      const p = weights[j]!;
      const gain = p * give(key, p);
      const ds = (gain - (stick ? sigmoids[j]! * rest : p * delta)) * scale;
      rest -= gain;
      terms.forEach(({ q, k, e, g: groups }, which) => {
        const from = (key * groups + Math.floor((head * groups) / h)) * e;
        const query = (row * h + head) * e;
        const [x, y, tq, tk] = [dataOf(q), dataOf(k), dataOf(dq[which]), dataOf(dk[which])];
        for (let i = 0; i < e; i++) {
          if (tq) tq[query + i]! += ds * y[from + i]!;
          if (tk) tk[from + i]! += ds * x[query + i]!;
        }
      });
    }
  }
};

/** Every query row and head with the key rows it sees, oldest first, and the row that its remainder goes to, if any. */
function* queries(call: AttendCall): Generator<{ row: number; head: number; keys: number[]; own: number | undefined }> {
  const { batch, t, s, h, causal, window, start, chosen, stick } = call;
  for (let b = 0; b < batch; b++) {
    const first = start ? dataOf(start)[b]! : 0;
    for (let i = 0; i < t; i++) {
      const place = i + s - t;
      const newest = stick && !stick.current ? place - 1 : place;
      const allowed = chosen && new Set(dataOf(chosen.rows(b * t + i, b * t + i + 1)));
      const keys: number[] = [];
      for (let j = 0; j < s; j++)
        if ((!allowed || allowed.has(j)) && j >= first && (!causal || j <= newest) && (!window || j > place - window))
          keys.push(b * s + j);
      const own = stick?.remainder && place >= Math.max(first, 0) ? b * s + place : undefined;
      for (let head = 0; head < h; head++) yield { row: b * t + i, head, keys, own };
    }
  }
}

function termsOf(call: AttendCall) {
  return call.terms.map(({ q, k, e, g }) => ({ x: dataOf(q), y: numbersOf(k), e, g }));
}

/** Weights of the keys, and what `lse` is of them; with stick-breaking also each key's sigmoid(z). */
function weigh(
  call: AttendCall,
  terms: ReturnType<typeof termsOf>,
  row: number,
  head: number,
  keys: readonly number[],
) {
  const scores = keys.map((key) => {
    let score = 0;
    for (const { x, y, e, g } of terms) {
      const query = (row * call.h + head) * e;
      const from = (key * g + Math.floor((head * g) / call.h)) * e;
      for (let i = 0; i < e; i++) score += x[query + i]! * y[from + i]!;
    }
    return score * call.scale;
  });
  return call.stick ? breakStick(scores) : softmax(scores, dataOf(call.sinks)?.[head] ?? Number.NEGATIVE_INFINITY);
}

function softmax(scores: readonly number[], sink: number) {
  const max = scores.reduce((a, b) => Math.max(a, b), sink);
  if (max === Number.NEGATIVE_INFINITY) return { weights: [], total: max, sigmoids: [] };
  const weights = scores.map((score) => Math.exp(score - max));
  const sum = weights.reduce((a, b) => a + b, Math.exp(sink - max));
  return { weights: weights.map((w) => w / sum), total: max + Math.log(sum), sigmoids: [] };
}

/** From the newest key back, each takes its share of what is left; the total is what is left in the end. */
function breakStick(scores: readonly number[]) {
  const sigmoids = scores.map((z) => 1 / (1 + Math.exp(-z)));
  const weights = scores.map(() => 0);
  let left = 1;
  for (let j = scores.length - 1; j >= 0; j--) {
    weights[j] = left * sigmoids[j]!;
    // 1 - sigmoid(z), without cancellation.
    left /= 1 + Math.exp(scores[j]!);
  }
  return { weights, total: left, sigmoids };
}
