// Rows of a cache: put on its pages, and taken from there as plain floats.
import { address, first, next, piecesOf, rowsOf, whole } from "../../device/thread.as";
import { PAGE, bytesOf, expand, pageOf, reduce } from "./row.as";

// Arguments of both: floats, table of pages, first row, rows, numbers and scales of a row, type, offsets of rows and scales.

/** Numbers of one scale of row `row` on its page. */
function numbersAt(args: usize, row: i32, group: i32, width: i32): usize {
  const page = pageOf(address(args, 1), row);
  const type = whole(args, 6);
  return page + address(args, 7) + bytesOf(type, (row % PAGE) * whole(args, 4)) + bytesOf(type, group * width);
}

function scaleAt(args: usize, row: i32, group: i32): usize {
  const page = pageOf(address(args, 1), row);
  return page + address(args, 8) + (<usize>((row % PAGE) * whole(args, 5) + group) << 2);
}

export function storePages(args: usize, _thread: i32): void {
  const n = whole(args, 3), groups = whole(args, 5), width = whole(args, 4) / groups, type = whole(args, 6);
  const each = rowsOf(whole(args, 4)), pieces = piecesOf(n, each);
  for (let piece = first(pieces); piece < pieces; piece = next())
    for (let i = piece * each, to = min(n, i + each); i < to; i++)
      for (let g = 0; g < groups; g++) {
        const from = address(args, 0) + (<usize>((i * groups + g) * width) << 2);
        const row = whole(args, 2) + i;
        reduce(type, from, width, numbersAt(args, row, g, width), scaleAt(args, row, g));
      }
}

/** Two arguments more: whole numbers of the rows to take (0: one after the other), and how many rows there are. */
export function loadPages(args: usize, _thread: i32): void {
  const n = whole(args, 3), groups = whole(args, 5), width = whole(args, 4) / groups, type = whole(args, 6);
  const each = rowsOf(whole(args, 4)), pieces = piecesOf(n, each);
  for (let piece = first(pieces); piece < pieces; piece = next())
    loadRows(piece * each, min(n, (piece + 1) * each), groups, width, type, args);
}

function loadRows(i: i32, to: i32, groups: i32, width: i32, type: i32, args: usize): void {
  const numbers = address(args, 9), rows = whole(args, 10);
  for (; i < to; i++) {
    const row = numbers ? <i32>load<f32>(numbers + (<usize>i << 2)) : whole(args, 2) + i;
    const out = address(args, 0) + (<usize>(i * groups * width) << 2);
    if (row < 0) memory.fill(out, 0, <usize>(groups * width) << 2);
    else if (row >= rows) for (let j = 0; j < groups * width; j++) store<f32>(out + (<usize>j << 2), NaN);
    else
      for (let g = 0; g < groups; g++) {
        const at = out + (<usize>(g * width) << 2);
        expand(type, numbersAt(args, row, g, width), scaleAt(args, row, g), width, at);
      }
  }
}
