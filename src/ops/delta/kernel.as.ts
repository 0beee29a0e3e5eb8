// The delta rule by chunks: per chunk the corrections of all its tokens, then outputs and the next state as products of
// matrices. Everything of a head lies in the thread's scratch.
import { address, first, next, scratch } from "../../device/thread.as";
import { LANES, N, N4, V, V4, build, layChunk, starts, takeChunk, written } from "./build.as";
import {
  batch, chunks, final, give, giveState, h, headRow, open, state, stateAt, states, t, takeState, v,
} from "./call.as";
import { BLOCK, CHUNK } from "./chunk";
import * as slot from "./slot";
import { solve } from "./solve.as";
import { product } from "./tile.as";

// What S holds for keys and queries, then outputs, `[LANES blocks][V]`; U `[CHUNK][V]`; S `[N][V]`.
let read: usize = 0;
let U: usize = 0;
let S: usize = 0;

export function deltaChunked(args: usize, thread: i32): void {
  open(args);
  const out = address(args, slot.OUT);
  read = layChunk(scratch(thread));
  U = read + <usize>(2 * CHUNK) * V4;
  S = U + <usize>CHUNK * V4;
  const pieces = batch * h;
  for (let piece = first(pieces); piece < pieces; piece = next()) {
    const row = (piece / h) * t, head = piece % h;
    memory.fill(S, 0, <usize>N * V4);
    if (state) takeState(stateAt(state, piece), S, V);
    for (let chunk = 0; chunk < chunks; chunk++) {
      if (states) giveState(S, V, stateAt(states, piece * chunks + chunk));
      const from = chunk * CHUNK;
      forwardChunk(row + from, min(CHUNK, t - from), head, out);
    }
    if (final) giveState(S, V, stateAt(final, piece));
  }
}

function forwardChunk(row: i32, count: i32, head: i32, out: usize): void {
  const blocks = (count + BLOCK - 1) / BLOCK;
  takeChunk(row, count, head, blocks);
  build(blocks);
  solve(blocks, S, read, U, true);
  scaleRows(S, starts + <usize>blocks * N4);
  product(N, V, blocks * BLOCK, written(blocks), 4, N4, U, V4, S, V4, 1);
  for (let i = 0; i < count; i++) {
    const lane = (i / BLOCK) * LANES + BLOCK + i % BLOCK;
    give(read + <usize>lane * V4, v, headRow(out, row + i, head, v));
  }
}

/** Each of the N rows at x times its own factor. */
export function scaleRows(x: usize, factors: usize): void {
  for (const end = factors + N4; factors < end; factors += 4) {
    const f = v128.load_splat<f32>(factors);
    for (const last = x + V4; x < last; x += 32) {
      const a = f32x4.mul(f, v128.load(x)), b = f32x4.mul(f, v128.load(x, 16));
      v128.store(x, a);
      v128.store(x, b, 16);
    }
  }
}
