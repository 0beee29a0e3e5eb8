// Copies a block of a strided matrix into panels that the tile reads in order: for each k, the panel's lanes side by side.
// Lanes are rows of A or columns of B. Steps are in bytes. Lanes missing in the last panel are zero.
import { COLUMNS, ROWS } from "./micro.as";

/** Lays out `rows` x k of A in panels of ROWS; needs 4 * k * (rows rounded up to ROWS) bytes. */
export function layRows(to: usize, from: usize, rows: i32, k: i32, rowStep: usize, kStep: usize): void {
  const panel = <usize>(k * ROWS) << 2;
  for (; rows > 0; rows -= ROWS) {
    if (rows < ROWS) edge(to, ROWS, from, rows, k, rowStep, kStep);
    else if (kStep == 4) {
      transpose4(to, ROWS << 2, from, k, rowStep);
      if (ROWS == 6) transpose2(to + 16, ROWS << 2, from + (rowStep << 2), k, rowStep);
    } else if (rowStep == 4) {
      if (ROWS == 6) copy6(to, from, k, kStep);
      else copy4(to, from, k, kStep);
    } else edge(to, ROWS, from, ROWS, k, rowStep, kStep);
    to += panel;
    from += <usize>ROWS * rowStep;
  }
}

/** Lays out k x `columns` of B in panels of COLUMNS; needs 4 * k * (columns rounded up to COLUMNS) bytes. */
export function layColumns(to: usize, from: usize, columns: i32, k: i32, columnStep: usize, kStep: usize): void {
  const panel = <usize>(k * COLUMNS) << 2;
  const full = columns / COLUMNS;
  if (columnStep == 4) {
    // A few rows at a time across all panels: memory is read in runs, not in single cache lines far apart.
    for (let i = 0; i < k; i += 8) copyRows(to + <usize>i * (COLUMNS << 2), from + <usize>i * kStep, full, min(8, k - i), kStep, panel);
  } else {
    for (let j = 0; j < full; j++) columnPanel(to + <usize>j * panel, from + <usize>(j * COLUMNS) * columnStep, k, columnStep, kStep);
  }
  const done = full * COLUMNS;
  if (done < columns) edge(to + <usize>full * panel, COLUMNS, from + <usize>done * columnStep, columns - done, k, columnStep, kStep);
}

function copyRows(to: usize, from: usize, panels: i32, rows: i32, kStep: usize, panel: usize): void {
  for (; panels > 0; panels--) {
    if (COLUMNS == 16) copy16(to, from, rows, kStep);
    else copy8(to, from, rows, kStep);
    to += panel;
    from += COLUMNS << 2;
  }
}

function columnPanel(to: usize, from: usize, k: i32, columnStep: usize, kStep: usize): void {
  if (kStep == 4) {
    for (let i = 0; i < COLUMNS; i += 4) transpose4(to + (<usize>i << 2), COLUMNS << 2, from + <usize>i * columnStep, k, columnStep);
  } else edge(to, COLUMNS, from, COLUMNS, k, columnStep, kStep);
}

/** Any steps, any number of lanes. */
function edge(to: usize, width: i32, from: usize, lanes: i32, k: i32, laneStep: usize, kStep: usize): void {
  for (let lane = 0; lane < width; lane++) {
    let x = from + <usize>lane * laneStep;
    let y = to + (<usize>lane << 2);
    const step = <usize>width << 2;
    if (lane < lanes) {
      for (let i = 0; i < k; i++, x += kStep, y += step) store<f32>(y, load<f32>(x));
    } else {
      for (let i = 0; i < k; i++, y += step) store<f32>(y, 0);
    }
  }
}

/** Four lanes, each contiguous in k, to `step` bytes per k. */
function transpose4(to: usize, step: usize, from: usize, k: i32, laneStep: usize): void {
  let f1 = from + laneStep;
  let f2 = f1 + laneStep;
  let f3 = f2 + laneStep;
  for (; k >= 4; k -= 4) {
    const x0 = v128.load(from);
    const x1 = v128.load(f1);
    const x2 = v128.load(f2);
    const x3 = v128.load(f3);
    const y0 = v128.shuffle<f32>(x0, x1, 0, 4, 1, 5);
    const y1 = v128.shuffle<f32>(x2, x3, 0, 4, 1, 5);
    const y2 = v128.shuffle<f32>(x0, x1, 2, 6, 3, 7);
    const y3 = v128.shuffle<f32>(x2, x3, 2, 6, 3, 7);
    v128.store(to, v128.shuffle<f64>(y0, y1, 0, 2));
    v128.store(to + step, v128.shuffle<f64>(y0, y1, 1, 3));
    to += step << 1;
    v128.store(to, v128.shuffle<f64>(y2, y3, 0, 2));
    v128.store(to + step, v128.shuffle<f64>(y2, y3, 1, 3));
    to += step << 1;
    from += 16;
    f1 += 16;
    f2 += 16;
    f3 += 16;
  }
  for (; k > 0; k--) {
    store<f32>(to, load<f32>(from));
    store<f32>(to, load<f32>(f1), 4);
    store<f32>(to, load<f32>(f2), 8);
    store<f32>(to, load<f32>(f3), 12);
    to += step;
    from += 4;
    f1 += 4;
    f2 += 4;
    f3 += 4;
  }
}

/** Two lanes, each contiguous in k, to `step` bytes per k. */
function transpose2(to: usize, step: usize, from: usize, k: i32, laneStep: usize): void {
  let f1 = from + laneStep;
  for (; k >= 4; k -= 4) {
    const x0 = v128.load(from);
    const x1 = v128.load(f1);
    const y0 = v128.shuffle<f32>(x0, x1, 0, 4, 1, 5);
    const y1 = v128.shuffle<f32>(x0, x1, 2, 6, 3, 7);
    v128.store_lane<i64>(to, y0, 0);
    v128.store_lane<i64>(to + step, y0, 1);
    to += step << 1;
    v128.store_lane<i64>(to, y1, 0);
    v128.store_lane<i64>(to + step, y1, 1);
    to += step << 1;
    from += 16;
    f1 += 16;
  }
  for (; k > 0; k--) {
    store<f32>(to, load<f32>(from));
    store<f32>(to, load<f32>(f1), 4);
    to += step;
    from += 4;
    f1 += 4;
  }
}

/** Lanes side by side already: 16, 8, 6 or 4 floats per k. */
function copy16(to: usize, from: usize, k: i32, kStep: usize): void {
  for (; k > 0; k--) {
    v128.store(to, v128.load(from));
    v128.store(to, v128.load(from, 16), 16);
    v128.store(to, v128.load(from, 32), 32);
    v128.store(to, v128.load(from, 48), 48);
    to += 64;
    from += kStep;
  }
}

function copy8(to: usize, from: usize, k: i32, kStep: usize): void {
  for (; k > 0; k--) {
    v128.store(to, v128.load(from));
    v128.store(to, v128.load(from, 16), 16);
    to += 32;
    from += kStep;
  }
}

function copy6(to: usize, from: usize, k: i32, kStep: usize): void {
  for (; k > 0; k--) {
    v128.store(to, v128.load(from));
    store<i64>(to, load<i64>(from, 16), 16);
    to += 24;
    from += kStep;
  }
}

function copy4(to: usize, from: usize, k: i32, kStep: usize): void {
  for (; k > 0; k--) {
    v128.store(to, v128.load(from));
    to += 16;
    from += kStep;
  }
}
