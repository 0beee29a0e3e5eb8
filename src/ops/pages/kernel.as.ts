// Rows of a cache: put on its pages, and taken from there as plain floats.
import { address, first, next, piecesOf, rowsOf, whole } from "../../device/thread.as";
import { PAGE } from "../../tensor/pagination";
import { bytesOf, expand, pageOf, reduce } from "./row.as";
import * as slot from "./slot";

/** Numbers of one scale of row `row` on its page. */
function numbersAt(args: usize, row: i32, group: i32, width: i32): usize {
  const page = pageOf(address(args, slot.TABLE), row);
  const type = whole(args, slot.TYPE);
  return page + address(args, slot.ROWS_AT) + bytesOf(type, (row % PAGE) * whole(args, slot.WIDTH)) + bytesOf(type, group * width);
}

function scaleAt(args: usize, row: i32, group: i32): usize {
  const page = pageOf(address(args, slot.TABLE), row);
  return page + address(args, slot.SCALES_AT) + (<usize>((row % PAGE) * whole(args, slot.GROUPS) + group) << 2);
}

/** Rows of several parts and sequences, whose pieces follow one another. */
export function storePages(args: usize, _thread: i32): void {
  const n = whole(args, slot.STORES), stores = address(args, slot.FIRST_STORE), each = address(args, slot.STORE_BYTES);
  let all = 0;
  for (let i = 0; i < n; i++) all += piecesIn(stores + <usize>i * each);
  // A thread's pieces ascend, and with them what they belong to.
  let store = stores, start = 0, end = piecesIn(store);
  for (let piece = first(all); piece < all; piece = next()) {
    while (piece >= end) {
      store += each;
      start = end;
      end += piecesIn(store);
    }
    storePiece(store, piece - start);
  }
}

function piecesIn(store: usize): i32 {
  return piecesOf(whole(store, slot.ROWS), rowsOf(whole(store, slot.WIDTH)));
}

function storePiece(args: usize, piece: i32): void {
  const groups = whole(args, slot.GROUPS), width = whole(args, slot.WIDTH) / groups, type = whole(args, slot.TYPE);
  const each = rowsOf(whole(args, slot.WIDTH));
  for (let i = piece * each, to = min(whole(args, slot.ROWS), i + each); i < to; i++)
    for (let g = 0; g < groups; g++) {
      const from = address(args, slot.FLOATS) + (<usize>((i * groups + g) * width) << 2);
      const row = whole(args, slot.FIRST) + i;
      reduce(type, from, width, numbersAt(args, row, g, width), scaleAt(args, row, g));
    }
}

export function loadPages(args: usize, _thread: i32): void {
  const n = whole(args, slot.ROWS), groups = whole(args, slot.GROUPS), width = whole(args, slot.WIDTH) / groups, type = whole(args, slot.TYPE);
  const each = rowsOf(whole(args, slot.WIDTH)), pieces = piecesOf(n, each);
  for (let piece = first(pieces); piece < pieces; piece = next())
    loadRows(piece * each, min(n, (piece + 1) * each), groups, width, type, args);
}

function loadRows(i: i32, to: i32, groups: i32, width: i32, type: i32, args: usize): void {
  const numbers = address(args, slot.NUMBERS), rows = whole(args, slot.TOKENS);
  for (; i < to; i++) {
    const row = numbers ? <i32>load<f32>(numbers + (<usize>i << 2)) : whole(args, slot.FIRST) + i;
    const out = address(args, slot.FLOATS) + (<usize>(i * groups * width) << 2);
    if (row < 0) memory.fill(out, 0, <usize>(groups * width) << 2);
    else if (row >= rows) for (let j = 0; j < groups * width; j++) store<f32>(out + (<usize>j << 2), NaN);
    else
      for (let g = 0; g < groups; g++) {
        const at = out + (<usize>(g * width) << 2);
        expand(type, numbersAt(args, row, g, width), scaleAt(args, row, g), width, at);
      }
  }
}
