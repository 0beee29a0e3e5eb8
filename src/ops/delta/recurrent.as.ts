// The delta rule token by token: the state stays in cache, and columns of it do not depend on each other, so each token
// passes over a few columns of all rows twice.
import { address, first, next, scratch } from "../../device/thread.as";
import { exp4, loadPart, madd, storePart } from "../simd.as";
import {
  batch, beta, chunks, decay, final, h, headRow, k, keyRow, kind, n, open, q, scale, state,
  stateAt, states, t, v, values,
} from "./call.as";
import { CHUNK } from "./chunk";
import { PER_CHANNEL, PER_HEAD } from "./decay";
import * as slot from "./slot";

// Of the token at hand, four floats per channel: k exp(decay), exp(decay), k, scale q. Behind them, room for a state.
let channels: usize = 0;

/** Needs 4 n (v + 4) bytes of scratch. */
export function deltaRecurrent(args: usize, thread: i32): void {
  open(args);
  const out = address(args, slot.OUT);
  channels = scratch(thread);
  const pieces = batch * h;
  for (let piece = first(pieces); piece < pieces; piece = next()) pass(piece, out);
}

/** All tokens of one head of one sequence. */
function pass(piece: i32, out: usize): void {
  const b = piece / h, head = piece % h, bytes = <usize>(n * v) << 2;
  const S = final ? stateAt(final, piece) : channels + (<usize>n << 4);
  if (!state) memory.fill(S, 0, bytes);
  else if (state != final) memory.copy(S, stateAt(state, piece), bytes);
  for (let i = 0; i < t; i++) {
    if (states && i % CHUNK == 0) memory.copy(stateAt(states, piece * chunks + i / CHUNK), S, bytes);
    const row = b * t + i;
    prepare(row, head);
    const rate = load<f32>(headRow(beta, row, head, 1));
    const from = headRow(values, row, head, v), to = headRow(out, row, head, v);
    let j: usize = 0, left = v;
    for (; left >= 32; left -= 32, j += 128) columns32(rate, from + j, S + j, to + j);
    for (; left >= 8; left -= 8, j += 32) columns8(rate, from + j, S + j, to + j);
    for (; left > 0; left -= 4, j += 16) columns4(left, rate, from + j, S + j, to + j);
  }
}

function prepare(row: i32, head: i32): void {
  const key = keyRow(k, row, head), query = keyRow(q, row, head);
  const log = headRow(decay, row, head, kind == PER_CHANNEL ? n : 1);
  const factor = f32x4.splat(scale);
  let e = f32x4.splat(1);
  if (kind == PER_HEAD) e = exp4(v128.load_splat<f32>(log));
  for (let c = 0; c < n; c += 4) {
    const at = <usize>c << 2, some = n - c;
    if (kind == PER_CHANNEL) e = exp4(loadPart(log + at, some, 0));
    const x = loadPart(key + at, some, 0), y = f32x4.mul(factor, loadPart(query + at, some, 0));
    const a = f32x4.mul(x, e);
    const ae = v128.shuffle<f32>(a, e, 0, 4, 1, 5), xy = v128.shuffle<f32>(x, y, 0, 4, 1, 5);
    const be = v128.shuffle<f32>(a, e, 2, 6, 3, 7), zw = v128.shuffle<f32>(x, y, 2, 6, 3, 7);
    const to = channels + (<usize>c << 4);
    v128.store(to, v128.shuffle<f32>(ae, xy, 0, 1, 4, 5));
    if (some > 1) v128.store(to, v128.shuffle<f32>(ae, xy, 2, 3, 6, 7), 16);
    if (some > 2) v128.store(to, v128.shuffle<f32>(be, zw, 0, 1, 4, 5), 32);
    if (some > 3) v128.store(to, v128.shuffle<f32>(be, zw, 2, 3, 6, 7), 48);
  }
}

/** 32 columns: what they miss of the value, then the state with it written, and the output. */
function columns32(rate: f32, from: usize, S: usize, to: usize): void {
  const step = <usize>v << 2, end = channels + (<usize>n << 4);
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), a2 = f32x4.splat(0), a3 = f32x4.splat(0);
  let a4 = f32x4.splat(0), a5 = f32x4.splat(0), a6 = f32x4.splat(0), a7 = f32x4.splat(0);
  for (let c = channels, s = S; c < end; c += 16, s += step) {
    const x = v128.load_splat<f32>(c);
    a0 = madd(x, v128.load(s), a0);
    a1 = madd(x, v128.load(s, 16), a1);
    a2 = madd(x, v128.load(s, 32), a2);
    a3 = madd(x, v128.load(s, 48), a3);
    a4 = madd(x, v128.load(s, 64), a4);
    a5 = madd(x, v128.load(s, 80), a5);
    a6 = madd(x, v128.load(s, 96), a6);
    a7 = madd(x, v128.load(s, 112), a7);
  }
  const r = f32x4.splat(rate);
  const u0 = f32x4.mul(r, f32x4.sub(v128.load(from), a0));
  const u1 = f32x4.mul(r, f32x4.sub(v128.load(from, 16), a1));
  const u2 = f32x4.mul(r, f32x4.sub(v128.load(from, 32), a2));
  const u3 = f32x4.mul(r, f32x4.sub(v128.load(from, 48), a3));
  const u4 = f32x4.mul(r, f32x4.sub(v128.load(from, 64), a4));
  const u5 = f32x4.mul(r, f32x4.sub(v128.load(from, 80), a5));
  const u6 = f32x4.mul(r, f32x4.sub(v128.load(from, 96), a6));
  const u7 = f32x4.mul(r, f32x4.sub(v128.load(from, 112), a7));
  // Stored and read again in halves: eight of u, eight sums and eight of S are more than there are registers.
  v128.store(to, u0);
  v128.store(to, u1, 16);
  v128.store(to, u2, 32);
  v128.store(to, u3, 48);
  v128.store(to, u4, 64);
  v128.store(to, u5, 80);
  v128.store(to, u6, 96);
  v128.store(to, u7, 112);
  write16(S, to);
  write16(S + 64, to + 64);
}

/** S <- e S + k u^T and out = scale S^T q in 16 columns; u lies in out. */
function write16(S: usize, out: usize): void {
  const step = <usize>v << 2, end = channels + (<usize>n << 4);
  const u0 = v128.load(out), u1 = v128.load(out, 16), u2 = v128.load(out, 32), u3 = v128.load(out, 48);
  let o0 = f32x4.splat(0), o1 = f32x4.splat(0), o2 = f32x4.splat(0), o3 = f32x4.splat(0);
  for (let c = channels; c < end; c += 16, S += step) {
    const e = v128.load_splat<f32>(c, 4), x = v128.load_splat<f32>(c, 8), y = v128.load_splat<f32>(c, 12);
    const s0 = madd(x, u0, f32x4.mul(e, v128.load(S)));
    const s1 = madd(x, u1, f32x4.mul(e, v128.load(S, 16)));
    const s2 = madd(x, u2, f32x4.mul(e, v128.load(S, 32)));
    const s3 = madd(x, u3, f32x4.mul(e, v128.load(S, 48)));
    v128.store(S, s0);
    v128.store(S, s1, 16);
    v128.store(S, s2, 32);
    v128.store(S, s3, 48);
    o0 = madd(y, s0, o0);
    o1 = madd(y, s1, o1);
    o2 = madd(y, s2, o2);
    o3 = madd(y, s3, o3);
  }
  v128.store(out, o0);
  v128.store(out, o1, 16);
  v128.store(out, o2, 32);
  v128.store(out, o3, 48);
}

/** As columns32, of 8. */
function columns8(rate: f32, from: usize, S: usize, to: usize): void {
  const step = <usize>v << 2, end = channels + (<usize>n << 4);
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0);
  for (let c = channels, s = S; c < end; c += 16, s += step) {
    const x = v128.load_splat<f32>(c);
    a0 = madd(x, v128.load(s), a0);
    a1 = madd(x, v128.load(s, 16), a1);
  }
  const r = f32x4.splat(rate);
  const u0 = f32x4.mul(r, f32x4.sub(v128.load(from), a0));
  const u1 = f32x4.mul(r, f32x4.sub(v128.load(from, 16), a1));
  let o0 = f32x4.splat(0), o1 = f32x4.splat(0);
  for (let c = channels; c < end; c += 16, S += step) {
    const e = v128.load_splat<f32>(c, 4), x = v128.load_splat<f32>(c, 8), y = v128.load_splat<f32>(c, 12);
    const s0 = madd(x, u0, f32x4.mul(e, v128.load(S)));
    const s1 = madd(x, u1, f32x4.mul(e, v128.load(S, 16)));
    v128.store(S, s0);
    v128.store(S, s1, 16);
    o0 = madd(y, s0, o0);
    o1 = madd(y, s1, o1);
  }
  v128.store(to, o0);
  v128.store(to, o1, 16);
}

/** As columns32, of the last `left` (4 at most). */
function columns4(left: i32, rate: f32, from: usize, S: usize, to: usize): void {
  const step = <usize>v << 2, end = channels + (<usize>n << 4);
  let a = f32x4.splat(0);
  for (let c = channels, s = S; c < end; c += 16, s += step)
    a = madd(v128.load_splat<f32>(c), loadPart(s, left, 0), a);
  const u = f32x4.mul(f32x4.splat(rate), f32x4.sub(loadPart(from, left, 0), a));
  let o = f32x4.splat(0);
  for (let c = channels; c < end; c += 16, S += step) {
    const e = v128.load_splat<f32>(c, 4), x = v128.load_splat<f32>(c, 8), y = v128.load_splat<f32>(c, 12);
    const s = madd(x, u, f32x4.mul(e, loadPart(S, left, 0)));
    storePart(S, left, s);
    o = madd(y, s, o);
  }
  storePart(to, left, o);
}
