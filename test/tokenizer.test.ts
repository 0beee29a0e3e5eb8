import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openText } from "../src/data/text.ts";
import { FormatError, ShapeError } from "../src/tensor/error.ts";
import { buildTokenizer } from "../src/tokenizer/build.ts";
import { byteTokenizer, loadTokenizer, parseTokenizer } from "../src/tokenizer/tokenizer.ts";

let dir = "";
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "biform-tokenizer-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** GPT-2's way to write bytes as printable characters: those that print stand for themselves, the others from U+0100 on. */
const characters = (() => {
  const printable = (b: number) => (b > 32 && b < 127) || (b > 160 && b !== 173);
  let next = 256;
  return Array.from({ length: 256 }, (_, b) => String.fromCodePoint(printable(b) ? b : next++));
})();

/** A small byte-level BPE: 256 bytes, three merges, and one special token. */
const bpe = {
  version: "1.0",
  added_tokens: [
    { id: 259, content: "<end>", special: true, single_word: false, lstrip: false, rstrip: false, normalized: false },
  ],
  normalizer: null,
  pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
  post_processor: null,
  decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
  model: {
    type: "BPE",
    vocab: Object.fromEntries([...characters, "th", "the", "\u0120the"].map((token, id) => [token, id])),
    merges: ["t h", "th e", "\u0120 the"],
  },
};

describe("bytes", () => {
  test("every well-formed text is its UTF-8 bytes and comes back", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const ids = byteTokenizer.encode(text);
        expect([...ids]).toEqual([...Buffer.from(text)]);
        expect(byteTokenizer.decode(ids)).toBe(text);
      }),
    );
    expect(byteTokenizer.decode(byteTokenizer.encode("\ufeffmark"))).toBe("\ufeffmark");
  });

  test("half a character decodes to a replacement, an id that is no byte is a ShapeError", () => {
    expect(byteTokenizer.decode([0xc3])).toBe("\ufffd");
    for (const id of [-1, 256, 1.5, Number.NaN]) expect(() => byteTokenizer.decode([65, id])).toThrow(ShapeError);
  });
});

describe("a tokenizer.json", () => {
  const tokenizer = parseTokenizer("bpe", JSON.stringify(bpe));

  test("encodes by its merges, without special tokens of its own", () => {
    expect([...tokenizer.encode("the the")]).toEqual([257, 258]);
    expect([...tokenizer.encode("thing<end>")].slice(0, 1)).toEqual([256]);
    expect([...tokenizer.encode("<end>")]).toEqual([259]);
    expect(tokenizer.vocabulary).toBe(260);
    expect(tokenizer.encode("")).toEqual(new Int32Array());
  });

  test("gives every text back", () => {
    const words = fc.array(
      fc.constantFrom("the", " the", "th", " ,", " n't", "\n", "\u00e9", "\ud83d\ude00", "<end>", "a", " "),
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: "grapheme" }),
          words.map((w) => w.join("")),
        ),
        (text) => {
          expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
        },
      ),
      { numRuns: 300 },
    );
    expect(tokenizer.decode([])).toBe("");
  });

  test("refuses ids outside the vocabulary", () => {
    for (const id of [-1, 260, 0.5])
      expect(() => tokenizer.decode([id])).toThrow(/got the id .*expected a whole number in \[0, 260\)/);
  });

  test("serves as the vocabulary of a text, with its bytes per token", async () => {
    const path = join(dir, "tokenizer.json");
    await writeFile(path, JSON.stringify(bpe));
    await writeFile(join(dir, "text.txt"), " the".repeat(1000));
    const source = await openText([join(dir, "text.txt")], {
      seed: 1,
      length: 16,
      tokenizer: await loadTokenizer(path),
    });
    expect([source.vocabulary, source.bytesPerToken]).toEqual([260, 4]);
    expect([...source.batch(0, 1, 16).ids]).toEqual(Array(16).fill(258));
  });
});

describe("a broken tokenizer.json", () => {
  const changed = (change: (t: typeof bpe) => void) => {
    const copy = structuredClone(bpe);
    change(copy);
    return JSON.stringify(copy);
  };

  test.each([
    ["that is empty", "", /got no valid JSON/],
    ["that is cut off", JSON.stringify(bpe).slice(0, 500), /got no valid JSON/],
    ["that is a list", "[]", /JSON that is no object/],
    ["that is null", "null", /JSON that is no object/],
    ["without a model", "{}", /got no model with a vocab/],
    ["with null for a model", '{"model":null}', /got no model with a vocab/],
    ["of an unknown kind", changed((t) => (t.model.type = "Telepathy")), /type Telepathy, expected BPE/],
    ["with an empty vocabulary", changed((t) => (t.model.vocab = {})), /got an empty vocabulary/],
    ["whose merges are no list", changed((t) => Object.assign(t.model, { merges: 7 })), /model\.merges: got number/],
    ["whose merges are no pairs", changed((t) => (t.model.merges = ["t h e"])), /model\.merges\.0: got "t h e"/],
    [
      "with a merge of what is no token",
      changed((t) => t.model.merges.push("t x")),
      /model\.merges: got \["t","x"\] at 3/,
    ],
    ["with a negative id", changed((t) => (t.model.vocab.a = -1)), /got the token id -1/],
    [
      "with an id that is text",
      changed((t) => Object.assign(t.model.vocab, { a: "<0x-1>" })),
      /got the token id <0x-1>/,
    ],
    ["with a fraction as an id", changed((t) => (t.model.vocab.a = 0.5)), /got the token id 0\.5/],
    ["with an id of 2^31", changed((t) => (t.model.vocab.a = 2 ** 31)), /got the token id 2147483648, expected/],
    [
      "with an added id of 2^40",
      changed((t) => (t.added_tokens[0]!.id = 2 ** 40)),
      /added_tokens\.0\.id: got 1099511627776/,
    ],
  ])("%s is a FormatError that names the file", (_, text, says) => {
    expect(() => parseTokenizer("some/tokenizer.json", text)).toThrow(FormatError);
    expect(() => parseTokenizer("some/tokenizer.json", text)).toThrow(/^some\/tokenizer\.json/);
    expect(() => parseTokenizer("some/tokenizer.json", text)).toThrow(says);
  });

  test("damaged anywhere either works or is a FormatError", () => {
    const text = JSON.stringify(bpe);
    const head = text.indexOf('"vocab"');
    // Most of the file is vocabulary; the rest is where damage matters.
    const place = fc.oneof(fc.nat(head), fc.nat(text.length - 1));
    fc.assert(
      fc.property(place, fc.constantFrom("null", "0", "{}", "[]", '"', ",", "x", ""), fc.nat(20), (at, put, over) => {
        let outcome: unknown;
        try {
          outcome = parseTokenizer("t", text.slice(0, at) + put + text.slice(at + over)).encode("the end").length;
        } catch (error) {
          outcome = error;
        }
        expect(outcome instanceof FormatError || typeof outcome === "number", String(outcome)).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  test("missing, a folder or no text is a FormatError that names it", async () => {
    await expect(loadTokenizer(join(dir, "none.json"))).rejects.toThrow(
      /none\.json: got ENOENT, expected a readable tokenizer\.json/,
    );
    await expect(loadTokenizer(dir)).rejects.toThrow(FormatError);
    await writeFile(join(dir, "binary.json"), Uint8Array.of(0xff, 0xfe, 0x00));
    await expect(loadTokenizer(join(dir, "binary.json"))).rejects.toThrow(/binary\.json: got no UTF-8 text/);
  });
});

describe("add_bos_token and add_eos_token of tokenizer_config.json", () => {
  const template = {
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: "<end>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    pair: [],
    special_tokens: { "<end>": { id: "<end>", ids: [259], tokens: ["<end>"] } },
  };
  const level = { type: "ByteLevel", add_prefix_space: true, trim_offsets: false, use_regex: true };
  const processors = { none: null, level, template, both: { type: "Sequence", processors: [level, template] } };
  const idsBy = (post_processor: unknown, config: object) =>
    Array.from(
      parseTokenizer(
        "bpe",
        JSON.stringify({ ...bpe, post_processor }),
        JSON.stringify({ bos_token: "<end>", eos_token: { content: "<end>" }, ...config }),
      ).prompt("the"),
    );
  const [plain, begun] = [[257], [259, 257]];

  // As transformers 4.57.6 does it, run on these files.
  test.each(["LlamaTokenizerFast", "LlamaTokenizer", "GemmaTokenizer", "CohereTokenizerFast", "CodeLlamaTokenizer"])(
    "decide for a %s, whatever stands in tokenizer.json",
    (tokenizer_class) => {
      for (const processor of Object.values(processors)) {
        expect(idsBy(processor, { tokenizer_class, add_bos_token: true })).toEqual(begun);
        expect(idsBy(processor, { tokenizer_class, add_bos_token: false })).toEqual(plain);
        expect(idsBy(processor, { tokenizer_class, add_bos_token: true, add_eos_token: true })).toEqual([
          259, 257, 259,
        ]);
        expect(idsBy(processor, { tokenizer_class, add_bos_token: false, add_eos_token: true })).toEqual([257, 259]);
        expect(idsBy(processor, { tokenizer_class, add_eos_token: false })).toEqual(begun);
      }
    },
  );

  test("decide where no class is named", () => {
    expect(idsBy(level, { add_bos_token: true })).toEqual(begun);
    expect(idsBy(template, { add_bos_token: false })).toEqual(plain);
  });

  test.each(["PreTrainedTokenizerFast", "Qwen2Tokenizer", "GPT2Tokenizer"])(
    "are nothing to a %s: tokenizer.json decides, as it does where neither key is there",
    (tokenizer_class) => {
      for (const flags of [{ add_bos_token: true }, { add_bos_token: false, add_eos_token: true }, {}]) {
        expect(idsBy(level, { tokenizer_class, ...flags })).toEqual(plain);
        expect(idsBy(template, { tokenizer_class, ...flags })).toEqual(begun);
      }
      for (const flags of [{}, { add_bos_token: null, add_eos_token: null }]) {
        expect(idsBy(level, { tokenizer_class: "LlamaTokenizerFast", ...flags })).toEqual(plain);
        expect(idsBy(template, { tokenizer_class: "LlamaTokenizerFast", ...flags })).toEqual(begun);
      }
    },
  );

  test.each([
    [{ add_bos_token: true, bos_token: null }, /add_bos_token: got true, and bos_token null/],
    [
      { add_bos_token: true, bos_token: "<start>" },
      /add_bos_token: got true, and bos_token "<start>", expected a token of the vocabulary/,
    ],
    [{ add_eos_token: true, eos_token: 7 }, /add_eos_token: got true, and eos_token null/],
  ])("that ask for a token which is not there are refused: %j", (config, says) => {
    expect(() => idsBy(null, config)).toThrow(says);
    expect(() => idsBy(null, config)).toThrow(FormatError);
    expect(idsBy(null, { ...config, tokenizer_class: "Qwen2Tokenizer" })).toEqual(plain);
  });
});

test("tokenizer files as Python writes them are read, and an id that is no number is refused by its name", () => {
  const text = JSON.stringify(bpe).replace('"type":"BPE"', '"type":"BPE","dropout":null');
  const config = '{"model_max_length": Infinity, "eos_token": "<end>"}';
  expect([...parseTokenizer("bpe", text, config).encode("the")]).toEqual([257]);
  const nan = JSON.stringify(bpe).replace('"type":"BPE"', '"type":"BPE","dropout":NaN');
  expect(() => parseTokenizer("bpe", nan)).toThrow(/model\.dropout: got null, expected/);
  const bad = JSON.stringify(bpe).replace('"the":257', '"the":Infinity');
  expect(() => parseTokenizer("bpe", bad)).toThrow(/got the token id Infinity, expected a whole number/);
});

test("what a tokenizer is made of is emptied, and it works on", () => {
  const [texts, pairs] = ["t h", ["t", "h"]].map((merge) => {
    const model = { type: "BPE", vocab: { t: 0, h: 1, th: 2 }, merges: [merge] };
    const tokenizer = buildTokenizer("bpe", { ...bpe, added_tokens: [], model }, {}, 10);
    expect([...tokenizer.encode("thh")]).toEqual([2, 1]);
    expect(tokenizer.decode([2, 0])).toBe("tht");
    return model;
  });
  for (const model of [texts, pairs]) expect(model).toMatchObject({ vocab: {}, merges: [] });
});
