import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { textStream } from "../src/tokenizer/stream.ts";
import { parseTokenizer, type Tokenizer } from "../src/tokenizer/tokenizer.ts";
import { long } from "./extent.ts";
import fixture from "./fixture/rust.json" with { type: "json" };
import { byteLevel, tokenizers } from "./fixture/tokenizers.ts";

// What the Rust tokenizers 0.23.2 make of single parts, written down by interop/fixture.py, a row in each text.
const parse = <Row>(rows: readonly string[]) => rows.map((row) => JSON.parse(row) as Row);

const open = (parts: object): Tokenizer =>
  parseTokenizer(
    "t",
    JSON.stringify({ model: { type: "WordLevel", vocab: { "<unk>": 0 }, unk_token: "<unk>" }, ...parts }),
  );

/** A tokenizer whose tokens are these, and one unknown. */
const words = (texts: Iterable<string>, parts: object): Tokenizer => {
  const vocab: Record<string, number> = { "<unk>": 0 };
  for (const text of texts) vocab[text] ??= Object.keys(vocab).length;
  return open({ ...parts, model: { type: "WordLevel", vocab, unk_token: "<unk>" } });
};
const naming = (part: unknown) => JSON.stringify(part).slice(0, 120);
const rows = <Part, Rest>(list: readonly (readonly [Part, Rest])[]) =>
  list.map(([part, rest]) => [naming(part), part, rest] as const);

test("the fixture is of the version that is meant", () => {
  expect(fixture.version).toBe("0.23.2");
});

type Case<In, Out> = readonly [object, readonly (readonly [In, Out])[]];

test.each(rows(parse<Case<string, string[]>>(fixture.cuts)))("pre-tokenizer %s", (_, part, cases) => {
  for (const [text, pieces] of cases) {
    const tokenizer = words(pieces, { pre_tokenizer: part });
    const got = Array.from(tokenizer.encode(text), (id) => Buffer.from(tokenizer.piece(id)).toString());
    expect([text, ...got]).toEqual([text, ...pieces]);
  }
});

test.each(rows(parse<Case<string, string>>(fixture.norms)))("normalizer %s", (_, part, cases) => {
  for (const [text, normal] of cases) {
    const tokenizer = words(normal ? [normal] : [], { normalizer: part });
    expect([text, ...tokenizer.encode(text)]).toEqual([text, ...(normal ? [1] : [])]);
  }
});

test.each(rows(parse<Case<string[], string>>(fixture.decoders)))("decoder %s", (_, part, cases) => {
  for (const [tokens, text] of cases) {
    const tokenizer = words(tokens, { decoder: part });
    expect(tokenizer.decode(tokens.map((token) => tokenizer.id(token)!))).toBe(text);
  }
});

test.each(rows(parse<Case<string, number[]>>(fixture.added)))("added tokens %s", (_, parts, cases) => {
  const tokenizer = open(parts);
  for (const [text, ids] of cases) expect([text, ...tokenizer.encode(text)]).toEqual([text, ...ids]);
});

test.each(rows(parse<Case<string, number[]>>(fixture.models)))("model %s", (_, model, cases) => {
  const tokenizer = open({ model });
  for (const [word, ids] of cases) expect([word, ...tokenizer.encode(word)]).toEqual([word, ...ids]);
});

const arounds = parse<readonly [part: object, prompt: number[], plain: number[]]>(fixture.arounds);
test.each(arounds.map((row) => [naming(row[0]), ...row] as const))("post-processor %s", (_, part, prompt, plain) => {
  const model = parse<Case<string, number[]>>(fixture.models).at(-1)![0];
  const tokenizer = open({ model, post_processor: part });
  expect([...tokenizer.prompt("ab")]).toEqual(prompt);
  expect([...tokenizer.encode("ab")]).toEqual(plain);
});

describe("what is not known is refused by its name", () => {
  const bpe = byteLevel.model;
  const level = byteLevel.pre_tokenizer;
  const split = (Regex: string) => ({ type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false });
  test.each<[string, object, RegExp]>([
    ["a key", { hooks: [] }, /hooks: got a key that is not known/],
    ["a version", { version: "2.0" }, /version: got "2\.0"/],
    ["truncation", { truncation: { max_length: 4 } }, /truncation: got \{"max_length":4\}/],
    ["padding to a length", { padding: { strategy: { Fixed: 8 } } }, /padding\.strategy: got \{"Fixed":8\}/],
    ["a kind of normalizer", { normalizer: { type: "Rot13" } }, /normalizer\.type: got/],
    ["a key of a part", { pre_tokenizer: { ...level, seed: 1 } }, /pre_tokenizer\.seed: got a key that is not known/],
    ["a part without a key", { pre_tokenizer: { type: "Digits" } }, /pre_tokenizer\.individual_digits: got nothing/],
    [
      "a kind in a sequence",
      { decoder: { type: "Sequence", decoders: [{ type: "Fuse" }, { type: "Loop" }] } },
      /decoder\.decoders\.1\.type/,
    ],
    ["scripts", { pre_tokenizer: { type: "UnicodeScripts" } }, /pre_tokenizer\.type: got/],
    ["dropout", { model: { ...bpe, dropout: 0.1 } }, /model\.dropout: got 0\.1/],
    ["a key of a model", { model: { ...bpe, alpha: 1 } }, /model\.alpha: got a key that is not known/],
    [
      "a second text",
      {
        post_processor: {
          type: "TemplateProcessing",
          single: [{ Sequence: { id: "B", type_id: 0 } }],
          pair: [],
          special_tokens: {},
        },
      },
      /post_processor\.single\.0: got a second text/,
    ],
    [
      "a token that a template does not list",
      {
        post_processor: {
          type: "TemplateProcessing",
          single: [{ SpecialToken: { id: "x", type_id: 0 } }],
          pair: [],
          special_tokens: {},
        },
      },
      /special_tokens: got none called "x"/,
    ],
    [
      "a table that is none",
      { normalizer: { type: "Precompiled", precompiled_charsmap: "AAAA" } },
      /precompiled_charsmap: got no table/,
    ],
    [
      "a replacement of nothing",
      { normalizer: { type: "Replace", pattern: { Regex: "a*" }, content: "b" } },
      /normalizer\.pattern: got one that matches nothing/,
    ],
    [
      "a token twice",
      {
        added_tokens: ["A", "a"].map((content, i) => ({
          id: i,
          content,
          single_word: false,
          lstrip: false,
          rstrip: false,
          normalized: true,
          special: false,
        })),
        normalizer: { type: "Lowercase" },
      },
      /added_tokens: got "a" twice/,
    ],
    ...[
      "(a)\\1",
      "\\X",
      "\\R",
      "a\\K",
      "(?~a)",
      "(?x)a b",
      "\\p{IsGreek}",
      "[]a]",
      "(?i)stra\u00dfe",
      "(?i:ss)",
      "(?i:\\p{Lu})",
      "(a",
      "a)",
      "*a",
      "[a",
      "\\g<1>",
      "(?(1)a)",
      "\\pL",
      "a{3,1}",
    ].map((regex): [string, object, RegExp] => [
      `the pattern ${regex}`,
      { pre_tokenizer: split(regex) },
      /pre_tokenizer\.pattern: got .* with /,
    ]),
  ])("%s", (_, parts, says) => {
    expect(() => open({ model: { ...bpe }, ...parts })).toThrow(says);
    expect(() => open({ model: { ...bpe }, ...parts })).toThrow(/^t: /);
  });

  test("lists in lists without end", () => {
    const [deep, model] = ['{"type":"Sequence","decoders":[', JSON.stringify(bpe)];
    const text = `{"model":${model},"decoder":${deep.repeat(20_000)}${"]}".repeat(20_000)}}`;
    expect(() => parseTokenizer("t", text)).toThrow(/^t: /);
  });
});

describe("long texts", () => {
  const merges = ["a a", "aa aa", "aaaa aaaa"];
  const vocab = Object.fromEntries(["a", "aa", "aaaa", "aaaaaaaa", " ", "b"].map((token, id) => [token, id]));
  const size = long ? 1_000_000 : 250_000;
  const runs = { a: "a".repeat(size), blanks: " ".repeat(size), word: "ab".repeat(size / 2) };

  test.each(Object.entries(runs))(`${size} characters that are one piece: %s`, (_, text) => {
    const bpe = open({ model: { type: "BPE", vocab, merges, unk_token: null } });
    const unigram = open({
      model: { type: "Unigram", unk_id: 0, vocab: Object.keys(vocab).map((token) => [token, -1]) },
    });
    for (const tokenizer of [bpe, unigram, tokenizers.byteLevel!]) {
      const ids = tokenizer.encode(text);
      // Twice the text is twice the ids: no run of it is read in another way.
      expect(tokenizer.encode(text + text).length).toBe(2 * ids.length);
    }
    const piece = open({
      model: {
        type: "WordPiece",
        vocab: { "[UNK]": 0, a: 1, "##a": 2, "##b": 3 },
        unk_token: "[UNK]",
        continuing_subword_prefix: "##",
        max_input_chars_per_word: size,
      },
    });
    expect(piece.encode(text).length).toBe(text[0] === "a" ? size : 1);
  });

  test("tokens that strip take whitespace along once", () => {
    const added = (content: string) => ({
      id: 6,
      content,
      single_word: false,
      lstrip: true,
      rstrip: true,
      normalized: false,
      special: true,
    });
    const tokenizer = open({ added_tokens: [added("\t")], model: { type: "BPE", vocab, merges, unk_token: null } });
    expect([...tokenizer.encode(`a${"\t ".repeat(300_000)}a`)]).toEqual([0, 6, 0]);
  });
});

test("half a pair of surrogates is a replacement character", () => {
  const { byteLevel: tokenizer } = tokenizers as Record<string, Tokenizer>;
  expect([...tokenizer!.encode("a\ud83db")]).toEqual([...tokenizer!.encode("a\ufffdb")]);
});

test("a stream of what a text is says the text, piece by piece, whatever the pieces", () => {
  const texts = fc.array(fc.constantFrom("a", " ", "  ", "\u00e9", "\u4e2d", "\ud83d\ude00", "\n", "ab", "\ufeff"), {
    maxLength: 12,
  });
  for (const tokenizer of [tokenizers.byteLevel!, tokenizers.sentencePiece!])
    fc.assert(
      fc.property(texts, (parts) => {
        const text = parts.join("");
        const ids = tokenizer.encode(text);
        const stream = textStream(tokenizer);
        expect(Array.from(ids, (id) => stream.push(id)).join("") + stream.end()).toBe(text);
      }),
    );
});
