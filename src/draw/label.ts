/** Where the labels of a picture go, so that each stands by what it names and none covers another. */

/** A rectangle in pixels, y downwards. */
export interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

/** A text's place: its anchor point in pixels and the side of it that is anchored. */
export interface Place {
  x: number;
  y: number;
  anchor: "start" | "middle" | "end";
}

/**
 * Moves positions on a line apart until neighbours are at least `gap` from each other, as little as possible in the
 * least-squares sense, within [low, high] as far as there is room. The order is kept; so is the length.
 * Method: subtracting i * gap from the i-th smallest turns the condition into monotonicity, which pooling adjacent
 * violators solves (Barlow et al., Statistical Inference under Order Restrictions, 1972).
 */
export function spread(positions: readonly number[], gap: number, low: number, high: number): number[] {
  const order = positions.map((_, index) => index).sort((a, b) => positions[a]! - positions[b]!);
  const blocks: { sum: number; count: number }[] = [];
  order.forEach((index, rank) => {
    let block = { sum: positions[index]! - rank * gap, count: 1 };
    for (let last = blocks.at(-1); last && last.sum / last.count > block.sum / block.count; last = blocks.at(-1)) {
      block = { sum: last.sum + block.sum, count: last.count + block.count };
      blocks.pop();
    }
    blocks.push(block);
  });
  const result = positions.map(() => 0);
  const ceiling = Math.max(low, high - (positions.length - 1) * gap);
  let rank = 0;
  for (const { sum, count } of blocks) {
    const start = Math.min(ceiling, Math.max(low, sum / count));
    for (let member = 0; member < count; member++, rank++) result[order[rank]!] = start + rank * gap;
  }
  return result;
}

function overlap(a: Box, b: Box): number {
  const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
  const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
  return width > 0 && height > 0 ? width * height : 0;
}

function boxOf({ x, y, anchor }: Place, width: number, height: number): Box {
  const left = anchor === "start" ? x : anchor === "end" ? x - width : x - width / 2;
  return { left, right: left + width, top: y - height / 2, bottom: y + height / 2 };
}

/**
 * Places one label per point: beside it, or above or below its box, wherever it covers least of the other points'
 * boxes and the labels already placed, and stays inside `frame`. Points are placed in the order given; sizes in pixels.
 */
export function place(
  points: readonly { x: number; y: number; box: Box; width: number }[],
  height: number,
  frame: Box,
): Place[] {
  const taken: Box[] = [];
  return points.map((point, index) => {
    const { x, y, box, width } = point;
    const candidates: Place[] = [];
    for (const shift of [0, -0.8, 0.8, -1.6, 1.6, -2.4, 2.4]) {
      candidates.push({ x: box.right + 5, y: y + shift * height, anchor: "start" });
      candidates.push({ x: box.left - 5, y: y + shift * height, anchor: "end" });
    }
    for (const lift of [0.7, 1.7, 2.7]) {
      for (const anchor of ["middle", "start", "end"] as const) {
        candidates.push({ x, y: box.top - lift * height, anchor });
        candidates.push({ x, y: box.bottom + lift * height, anchor });
      }
    }
    const others = points.flatMap((other, at) => (at === index ? [] : [other.box]));
    const cost = (candidate: Place, rank: number): number => {
      const own = boxOf(candidate, width, height);
      const inside = overlap(own, frame);
      const covered = [...others, ...taken].reduce((sum, other) => sum + overlap(own, other), 0);
      return 3 * (width * height - inside) + covered + overlap(own, box) + rank * 0.5;
    };
    const costs = candidates.map(cost);
    const chosen = candidates[costs.indexOf(Math.min(...costs))]!;
    taken.push(boxOf(chosen, width, height));
    return chosen;
  });
}
