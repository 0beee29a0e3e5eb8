import { dataOf } from "../../device/float.ts";
import { CHUNK } from "./chunk.ts";
import { chunkedHead, type Token } from "./chunked.ts";
import type { DeltaBackwardKernel, DeltaCall, DeltaKernel } from "./index.ts";

/** The delta rule by definition, one head at a time, in float64; or by chunks (chunked.ts). */
export const deltaReference: DeltaKernel = (call, out, final, states) => {
  const { batch, h, t, n, width, scale } = call;
  const [size, chunks] = [n * width, Math.ceil(t / CHUNK)];
  for (let b = 0; b < batch; b++)
    for (let head = 0; head < h; head++) {
      const which = b * h + head;
      let S: Float64Array = new Float64Array(size);
      if (call.state) S.set(dataOf(call.state).subarray(which * size, (which + 1) * size));
      const tokens = tokensOf(call, b, head);
      for (let chunk = 0; chunk < chunks; chunk++) {
        dataOf(states)?.set(S, (which * chunks + chunk) * size);
        const part = tokens.slice(chunk * CHUNK, (chunk + 1) * CHUNK);
        if (call.by === "chunked") S = chunkedHead(part, S, scale, dataOf(out));
        else
          for (const token of part) {
            step(token, S);
            dataOf(out).set(times(S, token.q, width, scale), token.at * width);
          }
      }
      dataOf(final)?.set(S, which * size);
    }
};

/**
 * Token by token from last to first, with dS the gradient of the state after the token: dS += scale q g^T; du = dS^T k;
 * dv = beta du; dk = dS u - S' dv; dS' = dS - k dv^T, S' being the decayed state; d decay = rows of dS' * S' summed.
 */
export const deltaBackwardReference: DeltaBackwardKernel = (call, states, g, grads) => {
  const { batch, h, t, n, width, scale } = call;
  const [size, chunks, groups] = [n * width, Math.ceil(t / CHUNK), h / call.g];
  const [dq, dk, dv, dbeta, ddecay] = [grads.q, grads.k, grads.v, grads.beta, grads.decay].map((x) =>
    dataOf(x)?.fill(0),
  );
  const perChannel = grads.decay?.shape.length === 3;
  for (let which = 0; which < batch * h; which++) {
    const head = which % h;
    const tokens = tokensOf(call, Math.floor(which / h), head);
    const dS = new Float64Array(size);
    for (let chunk = chunks - 1; chunk >= 0; chunk--) {
      const part = tokens.slice(chunk * CHUNK, (chunk + 1) * CHUNK);
      const S = dataOf(states).slice((which * chunks + chunk) * size, (which * chunks + chunk + 1) * size);
      // What each token did: the state it decayed, the one it left, and what it wrote.
      const done = part.map((token) => ({ token, ...step(token, S), after: S.slice() }));
      for (const { token, decayed, missing, after } of done.toReversed()) {
        const { q, k, beta, decay, row, at } = token;
        const go = dataOf(g).subarray(at * width, (at + 1) * width);
        for (let c = 0; c < n; c++) for (let i = 0; i < width; i++) dS[c * width + i]! += scale * q[c]! * go[i]!;
        const du = times(dS, k, width, 1);
        const key = (row * call.g + Math.floor(head / groups)) * n;
        for (let i = 0; i < width; i++) {
          if (dv) dv[at * width + i] = beta * du[i]!;
          if (dbeta) dbeta[at]! += du[i]! * missing[i]!;
        }
        for (let c = 0; c < n; c++) {
          let [toQ, toK, toDecay] = [0, 0, 0];
          for (let i = 0; i < width; i++) {
            const x = c * width + i;
            toQ += scale * after[x]! * go[i]!;
            toK += dS[x]! * beta * missing[i]! - decayed[x]! * beta * du[i]!;
            dS[x]! -= k[c]! * beta * du[i]!;
            toDecay += dS[x]! * decayed[x]!;
            dS[x]! *= decay[c]!;
          }
          if (dq) dq[key + c]! += toQ;
          if (dk) dk[key + c]! += toK;
          if (ddecay) ddecay[perChannel ? at * n + c : at]! += toDecay;
        }
      }
    }
  }
};

/** Takes S past one token, in place. @returns the decayed state, and v - S^T k: what it misses of the token's value. */
function step({ k, v, beta, decay }: Token, S: Float64Array): { decayed: Float64Array; missing: Float64Array } {
  const width = v.length;
  for (let x = 0; x < S.length; x++) S[x]! *= decay[Math.floor(x / width)]!;
  const decayed = S.slice();
  const missing = times(S, k, width, -1).map((x, i) => v[i]! + x);
  for (let x = 0; x < S.length; x++) S[x]! += k[Math.floor(x / width)]! * beta * missing[x % width]!;
  return { decayed, missing };
}

/** factor S^T x. */
function times(S: Float64Array, x: Float64Array, width: number, factor: number): Float64Array {
  const y = new Float64Array(width);
  for (let c = 0; c < x.length; c++) for (let i = 0; i < width; i++) y[i]! += factor * x[c]! * S[c * width + i]!;
  return y;
}

/** The tokens of head `head` of sequence `b`, in order. */
function tokensOf(call: DeltaCall, b: number, head: number): Token[] {
  const { t, h, g, n, width, decay } = call;
  const [q, k, v, beta, logs] = [dataOf(call.q), dataOf(call.k), dataOf(call.v), dataOf(call.beta), dataOf(decay)];
  return Array.from({ length: t }, (_, i) => {
    const row = b * t + i;
    const at = row * h + head;
    const key = (row * g + Math.floor((head * g) / h)) * n;
    const log = (c: number) => (logs ? logs[decay?.shape.length === 3 ? at * n + c : at]! : 0);
    return {
      row,
      at,
      q: q.subarray(key, key + n),
      k: k.subarray(key, key + n),
      v: v.subarray(at * width, (at + 1) * width),
      beta: beta[at]!,
      decay: Float64Array.from({ length: n }, (_, c) => Math.exp(log(c))),
    };
  });
}
