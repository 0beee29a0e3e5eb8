/**
 * Coefficients, none negative, whose sum of `coefficient * feature` comes closest to each of `wanted`, measured by relative error
 * squared: of all choices of features that count, the best whose least squares are not negative. For a handful of features.
 */
export function regress(rows: readonly (readonly number[])[], wanted: readonly number[]): number[] {
  const relative = rows.map((row, i) => row.map((x) => x / wanted[i]!));
  const width = rows[0]?.length ?? 0;
  let best: { error: number; x: number[] } | undefined;
  for (let set = 1; set < 2 ** width; set++) {
    const chosen = Array.from({ length: width }, (_, j) => j).filter((j) => (set >> j) & 1);
    const found = leastSquares(relative.map((row) => chosen.map((j) => row[j]!)));
    if (!found?.every((x) => x >= 0)) continue;
    const x = new Array<number>(width).fill(0);
    chosen.forEach((j, i) => {
      x[j] = found[i]!;
    });
    const error = relative.reduce((sum, row) => sum + (row.reduce((y, f, j) => y + f * x[j]!, 0) - 1) ** 2, 0);
    if (!best || error < best.error) best = { error, x };
  }
  return best?.x ?? new Array<number>(width).fill(0);
}

/** The x that minimises the squares of `rows x - 1`, by normal equations with scaled columns; undefined where rows do not say. */
function leastSquares(rows: readonly (readonly number[])[]): number[] | undefined {
  const n = rows[0]!.length;
  const norms = Array.from({ length: n }, (_, j) => Math.hypot(...rows.map((row) => row[j]!)));
  if (norms.some((norm) => !(norm > 0))) return undefined;
  const a = norms.map((u, i) => [
    ...norms.map((v, j) => rows.reduce((sum, row) => sum + (row[i]! / u) * (row[j]! / v), 0)),
    rows.reduce((sum, row) => sum + row[i]! / u, 0),
  ]);
  for (let i = 0; i < n; i++) {
    // Symmetric and positive: no pivoting needed, but a column that others explain.
    if (a[i]![i]! < 1e-9) return undefined;
    for (let k = 0; k < n; k++) {
      if (k === i) continue;
      const factor = a[k]![i]! / a[i]![i]!;
      for (let j = i; j <= n; j++) a[k]![j]! -= factor * a[i]![j]!;
    }
  }
  return a.map((row, i) => row[n]! / row[i]! / norms[i]!);
}
