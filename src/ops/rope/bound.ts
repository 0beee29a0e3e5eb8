/**
 * The least rotary base, to three digits, with which closeness of meaning raises a score at every distance below `length`: with r
 * rotary dims beside n plain ones and base b, sum over pairs of cos(m b^(-2i/r)) plus n / 2 is at least 0 for all m < length.
 * 1 where half the dims or more are plain, since then it always is; undefined where no base does, since the quickest pair is alone
 * and turns a radian a token whatever the base. Larger bases may fail again: what holds is no interval.
 * Source: kexue.fm/archives/10122; Xu et al., "Base of RoPE Bounds Context Length" (arXiv 2405.14591).
 */
export function leastBase(length: number, rotary: number, plain = 0): number | undefined {
  if (plain >= rotary) return 1;
  if (!baseHolds(Number.POSITIVE_INFINITY, length, rotary, plain)) return undefined;
  for (let digit = 100, power = 0.01; ; ) {
    const base = Number((digit * power).toPrecision(3));
    if (baseHolds(base, length, rotary, plain)) return base;
    digit++;
    if (digit === 1000) {
      digit = 100;
      power *= 10;
    }
  }
}

/** Whether a base keeps that sum from falling below 0 within `length`. A base that is too small fails early. */
export function baseHolds(base: number, length: number, rotary: number, plain = 0): boolean {
  const frequencies = Float64Array.from({ length: rotary / 2 }, (_, i) => base ** ((-2 * i) / rotary));
  for (let m = 1; m < length; m++) {
    let sum = plain / 2;
    for (const frequency of frequencies) sum += Math.cos(m * frequency);
    if (sum < 0) return false;
  }
  return true;
}
