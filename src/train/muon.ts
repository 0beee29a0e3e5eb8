import { combine, update } from "../ops/add/index.ts";
import { einsum, einsumInto } from "../ops/einsum/index.ts";
import { rmsNorm } from "../ops/norm/index.ts";
import { scope, Tensor, tensor } from "../tensor/tensor.ts";

/** Coefficients of the quintic that drives singular values towards 1 (Jordan et al., "Muon", 2024). */
const [A, B, C] = [3.4445, -4.775, 2.0315];
const STEPS = 5;

/**
 * One Muon step in place on a matrix parameter: momentum (Nesterov), then the nearest semi-orthogonal matrix by
 * Newton-Schulz. A parameter with a head or group axis is updated head by head, as kexue.fm/archives/10907 does for
 * attention; one with an expert axis, expert by expert. The update is scaled to AdamW's usual size, 0.2 sqrt(max side), so
 * that one learning rate serves both (Liu et al., arXiv 2502.16982).
 */
export function muon(
  p: Tensor,
  g: Tensor,
  momentum: Tensor,
  axes: string,
  step: { readonly rate: number; readonly beta: number; readonly decay: number },
): void {
  scope(p.device, () => {
    update(momentum, step.beta, 1, g);
    const ahead = new Tensor(p.device, p.shape);
    combine(step.beta, momentum, 1, g, ahead);
    const { rows, columns, heads } = sides(axes, p.shape);
    const nearest = orthogonal(ahead, axes, heads, rows, columns);
    update(p, 1 - step.rate * step.decay, -step.rate * 0.2 * Math.sqrt(Math.max(rows, columns)), nearest);
  });
}

/** Axes along which a parameter is many matrices: heads, groups, output groups, an indexer's heads, experts. */
const apart: ReadonlySet<string> = new Set("hgbjx");

/** The two sides of each matrix, and how many matrices a parameter of these axes is. */
function sides(axes: string, shape: readonly number[]): { rows: number; columns: number; heads: number } {
  const letters = axes.split(" ");
  const at = letters.findIndex((letter) => apart.has(letter));
  const [rows = 1, columns = 1] = shape.filter((_, i) => i !== at || letters.length === 2);
  return { rows, columns, heads: letters.length === 2 ? 1 : shape[at]! };
}

function orthogonal(x: Tensor, axes: string, heads: number, rows: number, columns: number): Tensor {
  const { device } = x;
  const letters = axes.split(" ");
  const inner = letters.length === 2 ? letters : letters.filter((l) => !apart.has(l));
  const head = letters.find((l) => !inner.includes(l));
  const [first, second] = inner as [string, string];
  // The smaller side first: the products below are then as small as they can be.
  const [a, b] = rows <= columns ? [first, second] : [second, first];
  const one = tensor(device, [1], [1]);
  const lead = head ?? "one";
  const shape = [heads, Math.min(rows, columns), Math.max(rows, columns)];
  // A product with one moves the head in front and the smaller side before the larger.
  const front = einsum(`${axes}, one -> ${head ? `${lead} ${a} ${b} one` : `one ${a} ${b}`}`, x, one).reshape(shape);
  const size = shape[1]! * shape[2]!;
  let y = rmsNorm(front.reshape([heads, size]), undefined, 1e-20).reshape(shape);
  front.origin.free();
  update(y, size ** -0.5);
  for (let i = 0; i < STEPS; i++) {
    const gram = einsum("h a b, h c b -> h a c", y, y);
    const poly = new Tensor(device, gram.shape);
    combine(B, gram, 0, undefined, poly);
    const square = einsum("h a b, h b c -> h a c", gram, gram);
    update(poly, 1, C, square);
    const next = new Tensor(device, shape);
    combine(A, y, 0, undefined, next);
    einsumInto("h a c, h c b -> h a b", poly, y, shape, next);
    // At most two matrices of the parameter's size at a time, beside the one that the step began with.
    for (const t of [gram, poly, square, y.origin]) t.free();
    y = next;
  }
  const back = head ? `${lead} ${a} ${b}` : `one ${a} ${b}`;
  return einsum(
    `${back}, ${head ? "one" : "one two"} -> ${axes} ${head ? "one" : "two"}`,
    y,
    head ? one : one.reshape([1, 1]),
  ).reshape(x.shape);
}
