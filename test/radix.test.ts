import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Node, Radix } from "../src/batch/radix.ts";

// The tree beside a list of sequences that is searched from its beginning to its end.

const idsOf = fc.array(fc.nat(2), { minLength: 1, maxLength: 9 });
const actionOf = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("add" as const), ids: idsOf }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("remove" as const), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("shorten" as const), pick: fc.nat() }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("match" as const), ids: fc.array(fc.nat(2), { maxLength: 9 }) }),
  },
);

const common = (a: readonly number[], b: readonly number[]) => {
  let n = 0;
  while (n < a.length && n < b.length && a[n] === b[n]) n++;
  return n;
};

/** The tokens from the root up to a node. */
function pathOf(node: Node<number>): number[] {
  return node.parent ? [...pathOf(node.parent), ...node.ids] : [];
}

describe("a radix tree", () => {
  test("holds what a list of sequences holds, whatever is added, removed, shortened and looked for", () => {
    fc.assert(
      fc.property(fc.array(actionOf, { maxLength: 40 }), (actions) => {
        const tree = new Radix<number>();
        const list = new Map<string, { ids: number[]; value: number }>();
        for (const [i, action] of actions.entries()) {
          const nodes = [...tree.values()];
          if (action.kind === "add") {
            const { node, replaced } = tree.add(Int32Array.from(action.ids), i);
            expect(replaced).toBe(list.get(`${action.ids}`)?.value);
            expect(pathOf(node)).toEqual(action.ids);
            list.set(`${action.ids}`, { ids: action.ids, value: i });
          } else if (action.kind === "match") {
            const longest = Math.max(0, ...[...list.values()].map(({ ids }) => common(ids, action.ids)));
            const { length, node } = tree.match(Int32Array.from(action.ids));
            expect(length).toBe(longest);
            // All behind the node begin alike, and it is the first node there.
            expect(pathOf(node).slice(0, length)).toEqual(action.ids.slice(0, length));
            expect(node.end - node.ids.length).toBeLessThanOrEqual(length);
          } else if (nodes.length) {
            const node = nodes[action.pick % nodes.length]!;
            const path = pathOf(node);
            if (action.kind === "remove") {
              tree.remove(node);
              list.delete(`${path}`);
            } else if (
              !node.children.size &&
              node.parent?.parent &&
              node.parent.value === undefined &&
              node.parent.children.size === 1
            ) {
              const { value } = node;
              const parent = tree.shorten(node);
              list.delete(`${path}`);
              list.set(`${pathOf(parent)}`, { ids: pathOf(parent), value: value! });
            }
          }
          const sequences = [...list.values()];
          const starts = new Set(sequences.flatMap(({ ids }) => ids.map((_, n) => `${ids.slice(0, n + 1)}`)));
          expect(tree.tokens).toBe(starts.size);
          const held = [...tree.values()].map((node) => [`${pathOf(node)}`, node.value]);
          expect(held.toSorted()).toEqual(sequences.map(({ ids, value }) => [`${ids}`, value]).toSorted());
          for (const node of tree.values()) expect(node.end).toBe(pathOf(node).length);
        }
      }),
      { numRuns: 400 },
    );
  });

  test("counts its nodes, and is empty once all are removed", () => {
    const tree = new Radix<string>();
    const of = (text: string) => Int32Array.from([...text], (c) => c.charCodeAt(0));
    const nodes = ["tea", "team", "ten", "to"].map((word) => tree.add(of(word), word).node);
    // t, te, tea, team, ten, to
    expect(tree.size).toBe(6);
    expect(tree.match(of("teas"))).toMatchObject({ length: 3, node: { value: "tea" } });
    expect([...tree.values(tree.match(of("te")).node)].map(({ value }) => value)).toEqual(["tea", "ten", "team"]);
    for (const node of nodes) tree.remove(node);
    expect([tree.size, tree.tokens]).toEqual([0, 0]);
  });
});
