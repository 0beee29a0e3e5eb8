/** Tokens beyond which every window is full, so that bytes grow in proportion; and the most that are looked for. */
const [FAR, FARTHEST] = [2 ** 30, 2 ** 52];

/**
 * Finds the most tokens whose bytes are within a room, where more tokens never take fewer bytes: 0 where not even one fits, Infinity
 * beyond 2^52. A line through two distant points says where to look first, for any room.
 */
export function longestOf(bytesOf: (tokens: number) => number): (room: number) => number {
  const [first, far, farther, farthest] = [1, FAR, 2 * FAR, FARTHEST].map(bytesOf) as [number, number, number, number];
  const slope = (farther - far) / FAR;
  // Machines often have equal memories.
  const found = new Map<number, number>();
  return (room) => {
    if (first > room) return 0;
    if (farthest <= room) return Number.POSITIVE_INFINITY;
    const before = found.get(room);
    if (before !== undefined) return before;
    const guess = slope > 0 ? Math.floor(FAR + (room - far) / slope) : 1;
    const tokens = findNear(bytesOf, room, Math.min(FARTHEST - 1, Math.max(1, guess)));
    found.set(room, tokens);
    return tokens;
  };
}

/** As `longestOf`, for one room. */
export const longestWithin = (bytesOf: (tokens: number) => number, room: number): number => longestOf(bytesOf)(room);

/** The last number of tokens that fits, looked for in steps that double from a guess on, and then in halves. */
function findNear(bytesOf: (tokens: number) => number, room: number, guess: number): number {
  const fits = (tokens: number) => bytesOf(tokens) <= room;
  const up = fits(guess);
  let [near, step] = [guess, 1];
  const next = () => Math.min(FARTHEST, Math.max(1, up ? near + step : near - step));
  while (fits(next()) === up) {
    near = next();
    step *= 2;
  }
  let [low, high] = up ? [near, next()] : [next(), near];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (fits(middle)) low = middle;
    else high = middle;
  }
  return low;
}
