import fc from "fast-check";
import { expect, test } from "vitest";
import { jsonPieces } from "../src/file/pieces.ts";

test("JSON in pieces is the same text, and no piece is larger than an item", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.nat(6), (value, depth) => {
      expect([...jsonPieces(value, depth)].join("")).toBe(JSON.stringify(value, null, 2));
    }),
  );
  const result = {
    variants: [{ spec: "a\nb", seeds: [1, 2, 3].map((seed) => ({ seed, losses: [4, 5], none: undefined })) }],
  };
  const pieces = [...jsonPieces(result, 4)];
  expect(pieces.join("")).toBe(JSON.stringify(result, null, 2));
  expect(Math.max(...pieces.map((piece) => piece.length))).toBeLessThan(100);
  expect([...jsonPieces([undefined, 1], 1)].join("")).toBe(JSON.stringify([undefined, 1], null, 2));
});
