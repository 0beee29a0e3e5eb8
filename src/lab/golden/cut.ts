/** One way to run a sequence: under which of an oracle's names its outputs go, and how many tokens go in at a time. */
export interface Cut {
  readonly name: "prefill" | "decode";
  /** For messages. */
  readonly from: string;
  readonly chunks: readonly number[];
}

/** Ways to cut `length` tokens: all at once, a prefill and then one by one, and one by one from the first. */
export function cuts(length: number, prefill: number): Cut[] {
  const ones = (n: number) => Array.from({ length: Math.max(0, n) }, () => 1);
  const all: Cut[] = [
    { name: "prefill", from: "at once", chunks: [length] },
    { name: "decode", from: `from ${prefill}`, chunks: [prefill, ...ones(length - prefill)] },
    { name: "decode", from: "from 1", chunks: ones(length) },
  ];
  return prefill === 1 ? all.slice(0, 2) : all;
}
