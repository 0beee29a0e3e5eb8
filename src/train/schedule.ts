/** Peak rate, steps of linear warm-up, total steps, and the share of the peak that is left at the end. */
export interface Schedule {
  readonly rate: number;
  readonly warmup: number;
  readonly steps: number;
  readonly floor: number;
}

/** Linear warm-up, then half a cosine down to `floor * rate` at the last step. `step` counts from 0. */
export function rateAt({ rate, warmup, steps, floor }: Schedule, step: number): number {
  if (step < warmup) return (rate * (step + 1)) / warmup;
  const progress = Math.min(1, (step - warmup) / Math.max(1, steps - 1 - warmup));
  return rate * (floor + (1 - floor) * 0.5 * (1 + Math.cos(Math.PI * progress)));
}
