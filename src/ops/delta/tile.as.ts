// C (= or +=) A B for small matrices that lie in cache, with any steps of A: nothing is laid out in panels, since each is used once
// or twice.
import { sixes } from "../attend/tile.as";
import { COLUMNS, STEPPED, tile4, tile6 } from "../einsum/micro.as";

/**
 * C[m, columns] = (or += if `add`) A[m, k] B[k, columns]; m a multiple of 4, columns of 16. Rows of A lie `am` bytes
 * apart and its k `ak`; rows of B `bk`, of C `cm`, columns side by side.
 */
export function product(
  m: i32, columns: i32, k: i32, a: usize, am: usize, ak: usize, b: usize, bk: usize, c: usize, cm: usize, add: i32,
): void {
  const rest = m - sixes(m);
  for (; columns > 0; columns -= COLUMNS, b += COLUMNS * 4, c += COLUMNS * 4) {
    let x = a, y = c, left = m;
    for (; left > rest; left -= 6, x += 6 * am, y += 6 * cm) six(k, x, am, ak, b, bk, y, cm, add);
    for (; left > 0; left -= 4, x += 4 * am, y += 4 * cm) four(k, x, am, ak, b, bk, y, cm, add);
  }
}

function six(k: i32, a: usize, am: usize, ak: usize, b: usize, bk: usize, c: usize, cm: usize, add: i32): void {
  tile6(k, a, am, ak, STEPPED, 0, b, bk, c, cm, add);
}

function four(k: i32, a: usize, am: usize, ak: usize, b: usize, bk: usize, c: usize, cm: usize, add: i32): void {
  tile4(k, a, am, ak, STEPPED, 0, b, bk, c, cm, add);
}
