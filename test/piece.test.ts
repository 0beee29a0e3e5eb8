import { expect, test } from "vitest";
import { readPieces } from "../src/tokenizer/piece.ts";
import { byteTokenizer, parseTokenizer, type Tokenizer } from "../src/tokenizer/tokenizer.ts";
import { byteLevel, tokenizers } from "./fixture/tokenizers.ts";

const all: [string, Tokenizer][] = [["bytes", byteTokenizer], ...Object.entries(tokenizers)];
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

test.each(all)("%s: pieces put together are what the ids decode to, but for the beginning", (_, tokenizer) => {
  for (const words of ["the the ab", "aba \u4e2d", "\u00e9 the"]) {
    const ids = [...tokenizer.encode(words)];
    const joined = text(Buffer.concat(ids.map((id) => tokenizer.piece(id))));
    expect(joined.trimStart()).toBe(tokenizer.decode(ids).trimStart());
  }
});

test("a piece may be a part of a character, a special token is its name, a hole is nothing", () => {
  const { byteLevel, sentencePiece, wordPiece } = tokenizers as Record<string, Tokenizer>;
  expect([...byteLevel!.piece(byteLevel!.encode("\u00e9")[0]!)]).toEqual([0xc3]);
  expect([...sentencePiece!.piece(sentencePiece!.id("<0xE4>")!)]).toEqual([0xe4]);
  expect(text(byteLevel!.piece(259))).toBe("<end>");
  expect([...byteLevel!.piece(260)]).toEqual([]);
  expect(text(byteLevel!.piece(258))).toBe(" the");
  expect(text(sentencePiece!.piece(sentencePiece!.id("\u2581ab")!))).toBe(" ab");
  expect([2, 3].map((id) => text(wordPiece!.piece(id)))).toEqual([" the", "re"]);
  for (const id of [-1, 262, 0.5]) expect(() => byteLevel!.piece(id)).toThrow(/got the id .* at 0, expected/);
});

test("a byte-level token with a character that stands for no byte is its own text", () => {
  const added = byteLevel.added_tokens.map((token) => ({ ...token, content: "<a b>" })).slice(0, 1);
  const tokenizer = parseTokenizer("t", JSON.stringify({ ...byteLevel, added_tokens: added }));
  expect(text(tokenizer.piece(tokenizer.id("<a b>")!))).toBe("<a b>");
});

test("the kind says how tokens are written", () => {
  expect(all.map(([, { kind }]) => kind)).toEqual(["plain", "byte-level", "byte-fallback", "plain", "plain"]);
  expect(text(readPieces({ type: "BPEDecoder", suffix: "</w>" }).piece("low</w>"))).toBe("low ");
  expect(text(readPieces(null).piece("<0x41>"))).toBe("<0x41>");
});
