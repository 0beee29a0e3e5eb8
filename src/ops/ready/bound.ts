import type { Block, Span } from "../../tensor/device.ts";

/** Spans as bindings of a launch: those of one block are bound once, from the first that is read of it to the last. */
export interface Bound {
  /** Which binding each span is in, and from which of its numbers on. */
  readonly of: readonly number[];
  readonly from: readonly number[];
  readonly spans: readonly Span[];
}

export function bindOnce(list: readonly Span[]): Bound {
  const blocks: Block[] = [];
  const of = list.map(({ block }) => {
    const known = blocks.indexOf(block);
    return known < 0 ? blocks.push(block) - 1 : known;
  });
  const spans = blocks.map((block): Span => {
    const own = list.filter((span) => span.block === block);
    const start = Math.min(...own.map((span) => span.start));
    return { block, start, size: Math.max(...own.map((span) => span.start + span.size)) - start };
  });
  return { of, spans, from: list.map(({ start }, i) => start - spans[of[i]!]!.start) };
}

/** Such bindings as operands of a launch, by a name and their number. */
export const operandsOf = (name: string, { spans }: Bound) =>
  Object.fromEntries(spans.map((span, i) => [`${name}${i}`, span]));
