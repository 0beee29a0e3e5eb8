import { Worker } from "node:worker_threads";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { inventVocabulary } from "../src/checkpoint/vocabulary.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import { generate } from "../src/generate/generate.ts";
import { Session } from "../src/generate/session.ts";
import { type Constraint, Writer } from "../src/generate/writer.ts";
import { buildModel } from "../src/model/build.ts";
import { afterThoughts } from "../src/server/constrain/after.ts";
import { type Constrainer, openConstrainer, type Writing } from "../src/server/constrain/constrainer.ts";
import type { Form } from "../src/server/constrain/grammar.ts";
import { untilFreed } from "../src/server/form.ts";
import { parserFor } from "../src/server/parse/parser.ts";
import { whenCalled } from "../src/server/when.ts";
import { DeviceError } from "../src/tensor/error.ts";
import { Random } from "../src/tensor/random.ts";
import { ggufTokenizer } from "../src/tokenizer/ggml.ts";
import { byteTokenizer, type Tokenizer } from "../src/tokenizer/tokenizer.ts";
import { initialWeights } from "../src/train/initial.ts";
import { long } from "./extent.ts";
import { isValid } from "./fixture/valid.ts";
import fixture from "./fixture/vocabularies.json" with { type: "json" };

/** A byte-level BPE as GGUF files have it, and a SentencePiece BPE trained on a little text: see vocabulary.test.ts. */
const tokenizers: Readonly<Record<string, () => { tokenizer: Tokenizer; end: number[] }>> = {
  bytes: () => ({ tokenizer: byteTokenizer, end: [] }),
  "byte-level BPE": () => {
    const { tokens, merges, special, end } = inventVocabulary(700);
    const metadata = new Map<string, { type: string; value: unknown }>([
      ["tokenizer.ggml.model", { type: "string", value: "gpt2" }],
      ["tokenizer.ggml.pre", { type: "string", value: "gpt-2" }],
      ["tokenizer.ggml.tokens", { type: "string[]", value: tokens }],
      ["tokenizer.ggml.merges", { type: "string[]", value: merges }],
      ["tokenizer.ggml.token_type", { type: "i32[]", value: tokens.map((token) => (special.includes(token) ? 3 : 1)) }],
      ["tokenizer.ggml.eos_token_id", { type: "u32", value: end }],
      ["tokenizer.ggml.bos_token_id", { type: "u32", value: end - 1 }],
    ]);
    return { tokenizer: ggufTokenizer("bpe", metadata), end: [end] };
  },
  SentencePiece: () => {
    const { tokens, scores, types } = fixture.pieces;
    const metadata = new Map<string, { type: string; value: unknown }>([
      ["tokenizer.ggml.model", { type: "string", value: "llama" }],
      ["tokenizer.ggml.tokens", { type: "string[]", value: tokens.split(" ") }],
      ["tokenizer.ggml.scores", { type: "f32[]", value: scores.split(" ").map(Number) }],
      ["tokenizer.ggml.token_type", { type: "i32[]", value: [...types].map(Number) }],
    ]);
    return { tokenizer: ggufTokenizer("pieces", metadata), end: [2] };
  },
};

/** Logits that know nothing, but like what ends things: else a list of lists would never end. */
function noise(random: Random, writing: Writing, liked: ReadonlySet<number>): Float32Array {
  const logits = new Float32Array(writing.vocabulary);
  for (let id = 0; id < logits.length; id++) logits[id] = random.uniform();
  for (const id of liked) logits[id]! += 0.6;
  return logits;
}

/** What a model of random weights writes under a constraint, greedily; undefined where it has not come to an end. */
function write(constraint: Constraint, writing: Writing, seed: number, most = 300): string | undefined {
  const random = new Random(seed);
  const { tokenizer, end } = writing;
  const ends = new Set(['"', "}", "]", "<", "\n"].flatMap((text) => [...tokenizer.encode(text)]).concat([...end]));
  const writer = new Writer(Int32Array.of(0), 2 * most, {
    tokenizer,
    end,
    constraint,
    temperature: 0,
    maxTokens: most,
    special: "keep",
  });
  let text = "";
  try {
    for (;;) {
      const step = writer.step(noise(random, writing, ends));
      text += step.text;
      if (step.finish) return step.finish === "end" ? text : undefined;
    }
  } finally {
    constraint.free();
  }
}

/** Texts of each kind. */
const seeds = long ? 20 : 4;

const person = {
  type: "object",
  properties: {
    name: { type: "string", minLength: 1, maxLength: 12 },
    age: { type: "integer", minimum: 3, maximum: 112 },
    score: { type: "number", exclusiveMinimum: -2.5, maximum: 3.25 },
    tags: { type: "array", items: { enum: ["aaaaaaaa", "aaaaaaa", "é"] }, minItems: 1, maxItems: 3 },
    born: { type: "string", format: "date" },
    code: { type: "string", pattern: '^(?:[0-9]{4}|[0-9]{3})"?\\\\[a-f\\n]$' },
    next: { anyOf: [{ $ref: "#" }, { type: "null" }] },
  },
  required: ["name", "score", "tags", "code"],
};

const formatted = (format: string) => ({ type: "string", format });
/** One grammar, and one text, for several. */
const each = (...schemas: readonly unknown[]) => ({
  type: "array",
  prefixItems: schemas,
  items: false,
  minItems: schemas.length,
});
const schemas: Readonly<Record<string, unknown>> = {
  "formats of time": each(...["date", "time", "date-time", "duration"].map(formatted)),
  "formats of names": each(...["email", "hostname", "uuid"].map(formatted)),
  "formats of addresses": each(...["ipv4", "ipv6", "uri"].map(formatted)),
  person,
  "bounds of integers": each(
    { type: "integer", exclusiveMaximum: -7, minimum: -120 },
    { type: "integer", minimum: 7, maximum: 112 },
    { type: "integer", minimum: -5 },
    { type: ["integer", "null"], minimum: 5 },
  ),
  "numbers and fractions": each({ type: "number", minimum: 0.25, exclusiveMaximum: 0.5 }, { type: "number" }),
  "values that are named": each(
    { type: "string", enum: ["a", 1, "b\n\u2028"] },
    { const: { a: [1, "ü"], b: null } },
    { type: "array", maxItems: 0 },
  ),
  "items by place": {
    type: "array",
    prefixItems: [{ type: "boolean" }, { const: 1 }],
    items: { type: "null" },
    maxItems: 3,
  },
  "a map": { type: "object", additionalProperties: { type: "boolean" }, propertyNames: { enum: ["p", "q"] } },
  "one of two": {
    oneOf: [
      { type: "object", properties: { kind: { const: "a" }, value: { type: "integer" } }, required: ["kind", "value"] },
      { type: "object", properties: { kind: { const: "b" } }, required: ["kind"] },
    ],
  },
  "a length in characters": { type: "string", minLength: 2, maxLength: 3 },
  "letters beyond ASCII": { type: "string", pattern: "^[а-яё]{2,5}$" },
  anything: {},
  "any object": { type: "object" },
};
/** Those that are enough to see that a vocabulary fits. */
const few = ["person", "letters beyond ASCII", "anything", "a length in characters"];

const patterns = [
  "[0-9]{4}|[0-9]{3}",
  "aaaaaaaa|aaaaaaa|(?:aa)+b?",
  "[a-z]*[a-z]cd",
  "(?:a|ab)(?:c|bcd)d*",
  "(?:ab)*abc",
  "\\d{2,3}-[^\\d\\s]{1,4}?x",
  "(?<year>\\d{4})-\\w+\\.",
  "[\\]\\-^\\\\]{3}[а-в]é",
  "x\\S[^]",
  "",
];

const grammars: readonly (readonly [grammar: string, holds: RegExp])[] = [
  ['root ::= (item ",")* item # a list\nitem ::= "x" | "y" item', /^(y*x,)*y*x$/],
  ['root ::= "a"{2,3} [^a-y\\n] "\\u00e9"?', /^a{2,3}[^a-y\n]é?$/u],
  ['root ::= "(" root ")" | "[" root "]" | "z"', /^[([]*z[)\]]*$/],
  ['root ::= root "a" | "b"', /^ba*$/],
];

for (const [name, open] of Object.entries(tokenizers))
  describe(`a model of random weights with ${name}`, () => {
    const { tokenizer, end } = open();
    // Some models have more logits than their tokenizer has tokens.
    const writing: Writing = { tokenizer, vocabulary: tokenizer.vocabulary + 5, end: new Set(end) };
    let constrainer: Constrainer;
    beforeAll(async () => {
      constrainer = await openConstrainer(writing);
    });
    afterAll(() => constrainer.close());
    const texts = async (form: Form) => {
      const found: string[] = [];
      for (let seed = 1; seed <= seeds; seed++) {
        const text = write(await constrainer.constrain(form), writing, seed);
        if (text !== undefined) found.push(text);
        else if (end.length === 0 && seed === 2) break;
      }
      return found;
    };

    // A grammar takes a thread and a fifth of a second: one vocabulary has all of them, the others what shows that they fit.
    const all = name === "byte-level BPE";
    const enough = long ? few : few.slice(0, 2);
    test.each(Object.entries(schemas).filter(([title]) => all || enough.includes(title)))(
      "writes JSON that is valid by a schema: %s",
      async (_, schema) => {
        const found = await texts({ kind: "schema", schema });
        if (end.length) expect(found.length).toBeGreaterThan(0);
        for (const text of found) expect([text, isValid(schema, JSON.parse(text))]).toEqual([text, true]);
      },
    );

    test("writes an object where any object is asked for", async () => {
      const found = await texts({ kind: "object" });
      if (end.length) expect(found.length).toBeGreaterThan(0);
      for (const text of found) expect(Object.getPrototypeOf(JSON.parse(text))).toBe(Object.prototype);
    });

    test.each(patterns.slice(all ? 0 : long ? -4 : -2).map((pattern) => [pattern]))(
      "writes what an expression matches: %s",
      async (pattern) => {
        // Without end tokens nothing says that an empty text has ended.
        if (pattern === "" && end.length === 0) return;
        const found = await texts({ kind: "regex", pattern });
        if (end.length) expect(found.length).toBeGreaterThan(0);
        for (const text of found) expect([text, new RegExp(`^(?:${pattern})$`, "u").test(text)]).toEqual([text, true]);
      },
    );

    test.each(grammars.slice(0, all || long ? grammars.length : 1))(
      "writes what a grammar allows: %s",
      async (grammar, holds) => {
        const found = await texts({ kind: "grammar", grammar });
        for (const text of found) expect(text).toMatch(holds);
        // Without end tokens a text ends where its grammar cannot go on, and some always can.
        if (end.length) expect(found.length).toBeGreaterThan(0);
      },
    );
  });

test("a pattern is found anywhere in a string, and quotes in it are escaped", async () => {
  const constrainer = await openConstrainer({ tokenizer: byteTokenizer, vocabulary: 256, end: new Set() });
  const allows = async (text: string) => {
    const constraint = await constrainer.constrain({
      kind: "schema",
      schema: { type: "string", pattern: 'a[b"]|^c$' },
    });
    const fits = byteTokenizer.encode(text).every((id) => {
      const logits = new Float64Array(256);
      constraint.mask(logits);
      constraint.accept(id);
      return logits[id] === 0;
    });
    constraint.free();
    return fits;
  };
  for (const text of ['"ab"', '"xaby"', '"\\\\a\\"\\n"', '"c"', '"ccab"'])
    expect([text, await allows(text)]).toEqual([text, true]);
  for (const text of ['"x"', '"cc"', '"a""', '"a\\nb"', '""'])
    expect([text, await allows(text)]).toEqual([text, false]);
  constrainer.close();
});

test("what is allowed is more than one text: numbers within bounds are all of them", async () => {
  const writing: Writing = { tokenizer: byteTokenizer, vocabulary: 256, end: new Set() };
  const constrainer = await openConstrainer(writing);
  const seen = new Set<string | undefined>();
  const form: Form = { kind: "schema", schema: { type: "integer", minimum: -3, maximum: 12 } };
  for (let seed = 1; seed <= 400; seed++) seen.add(write(await constrainer.constrain(form), writing, seed));
  // A text of bytes ends where nothing can follow: 1 goes on to 10, 11 or 12.
  const expected = [-3, -2, -1, 0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12].map(String);
  expect([...seen].toSorted()).toEqual(expected.toSorted());
  constrainer.close();
});

const bpe = tokenizers["byte-level BPE"]!();

test("a model writes garbage without a constraint, and an object with one", async () => {
  const { tokenizer, end } = bpe;
  const device = new ReferenceDevice();
  const model = buildModel("MLA", { vocabulary: tokenizer.vocabulary, width: 32, heads: 2, layers: 1 });
  const weights = initialWeights(model, device, 3);
  const writing: Writing = { tokenizer, vocabulary: tokenizer.vocabulary, end: new Set(end) };
  const constrainer = await openConstrainer(writing);
  const schema = {
    type: "object",
    properties: { a: { enum: [1, "two"] }, b: { type: "boolean" } },
    required: ["a", "b"],
  };
  const ask = async (constraint: Constraint | undefined) => {
    const session = new Session(model, weights, { context: 200 });
    let text = "";
    const options = { tokenizer, end: writing.end, temperature: 0, constraint, maxTokens: 190 };
    for await (const step of generate(session, tokenizer.encode("An object:"), options)) text += step.text;
    session.free();
    constraint?.free();
    return text;
  };
  const garbage = await ask(undefined);
  expect(() => JSON.parse(garbage) as unknown).toThrow(SyntaxError);
  const object: unknown = JSON.parse(await ask(await constrainer.constrain({ kind: "schema", schema })));
  expect(isValid(schema, object)).toBe(true);
  constrainer.close();
});

describe("library and vocabulary must fit", () => {
  const { tokenizer, end } = bpe;
  const writing: Writing = { tokenizer, vocabulary: tokenizer.vocabulary, end: new Set(end) };

  test("pieces that are not what tokens decode to are refused", async () => {
    // As a vocabulary taken for one of another kind: Ġ for a blank.
    const raw: Tokenizer = { ...tokenizer, piece: (id) => new TextEncoder().encode(inventVocabulary(700).tokens[id]) };
    await expect(openConstrainer({ ...writing, tokenizer: raw })).rejects.toThrow(
      /got tokens that say .*Ġ.*cannot be constrained/,
    );
    const empty: Tokenizer = { ...tokenizer, piece: () => new Uint8Array() };
    await expect(openConstrainer({ ...writing, tokenizer: empty })).rejects.toThrow(/cannot be constrained/);
  });

  test("fewer logits than tokens are refused, and logits of another number", async () => {
    await expect(openConstrainer({ ...writing, vocabulary: 699 })).rejects.toThrow(/got 700 tokens for 699 logits/);
    const constrainer = await openConstrainer(writing);
    const constraint = await constrainer.constrain({ kind: "object" });
    expect(() => constraint.mask(new Float32Array(701))).toThrow(/got 701 logits, expected 700/);
    constraint.free();
    constrainer.close();
  });

  test("a grammar that no token can begin is refused", async () => {
    const lacking: Tokenizer = {
      ...byteTokenizer,
      piece: (id) => (id === 0x78 ? new Uint8Array() : byteTokenizer.piece(id)),
    };
    const constrainer = await openConstrainer({
      tokenizer: { ...lacking, encode: byteTokenizer.encode },
      vocabulary: 256,
      end: new Set(),
    }).catch(() => undefined);
    // The text that is looked at first has an x in it.
    expect(constrainer).toBeUndefined();
  });

  test("special tokens and ids that no token has never follow, end tokens at the end alone", async () => {
    const wide: Writing = { ...writing, vocabulary: 720 };
    const constrainer = await openConstrainer(wide);
    const constraint = await constrainer.constrain({ kind: "grammar", grammar: 'root ::= [^\\n] | "<|user|>"' });
    const open = () => {
      const logits = new Float64Array(720);
      constraint.mask(logits);
      return [...logits.keys()].filter((id) => logits[id] === 0);
    };
    const first = open();
    expect(first.length).toBeGreaterThan(90);
    expect(first.filter((id) => tokenizer.special.has(id) || id >= 700)).toEqual([]);
    constraint.accept(tokenizer.encode("x")[0]!);
    expect(open()).toEqual(end);
    constraint.free();
    const mark = tokenizer.id("<|user|>")!;
    const marked = await constrainer.constrain(
      { kind: "grammar", grammar: 'root ::= "<|user|>"' },
      { marks: new Set([mark]) },
    );
    const logits = new Float64Array(720);
    marked.mask(logits);
    expect(logits[mark]).toBe(0);
    marked.free();
    constrainer.close();
  });

  test("a token that the mask does not allow ends in an error", async () => {
    const constrainer = await openConstrainer(writing);
    const constraint = await constrainer.constrain({ kind: "grammar", grammar: 'root ::= "ab"' });
    constraint.accept(tokenizer.encode("x")[0]!);
    expect(() => constraint.mask(new Float32Array(700))).toThrow(/got a token that the grammar does not have/);
    constraint.free();
    constrainer.close();
  });
});

describe("what cannot be heeded is refused by name", () => {
  let constrainer: Constrainer;
  beforeAll(async () => {
    constrainer = await openConstrainer({ tokenizer: byteTokenizer, vocabulary: 256, end: new Set() });
  });
  afterAll(() => constrainer.close());
  const deep = (levels: number): unknown => (levels ? { type: "array", items: deep(levels - 1) } : {});

  test.each<[unknown, RegExp]>([
    [{ type: "integer", multipleOf: 3 }, /multipleOf of integer/],
    [{ type: "array", uniqueItems: true }, /uniqueItems of array/],
    [{ type: "array", contains: {} }, /contains/],
    [{ type: "array", items: [{}] }, /at \/items: got object, expected a schema/],
    [{ type: "object", patternProperties: {} }, /patternProperties/],
    [{ type: "object", minProperties: 1 }, /minProperties/],
    [{ type: "object", properties: { a: {} }, required: ["b"] }, /required "b"/],
    [{ type: "object", properties: { a: { not: {} } } }, /at \/properties\/a: got not/],
    [{ if: {}, else: {} }, /got if/],
    [{ allOf: [{ type: "object" }, { type: "object" }] }, /allOf of 2/],
    [{ oneOf: [{ type: "integer" }, { type: "number" }] }, /oneOf with alternatives that may hold at once/],
    [{ anyOf: [{ type: "integer" }], minimum: 3 }, /minimum beside anyOf/],
    [{ $ref: "#/$defs/a", minimum: 3, $defs: { a: { type: "integer" } } }, /minimum beside \$ref/],
    [{ $ref: "#/$defs/a" }, /the reference #\/\$defs\/a, expected one that is there/],
    [{ $ref: "https://example.com/a" }, /the reference "https:/],
    [{ $ref: "#/$defs/a", $defs: { a: { anyOf: [{ $ref: "#/$defs/a" }, { type: "null" }] } } }, /which is itself/],
    [{ type: "string", format: "binary" }, /the format "binary", expected one of date, time/],
    [{ type: "string", format: "date", maxLength: 3 }, /more than one of a length, a pattern and a format/],
    [{ type: "string", pattern: "(?=a)" }, /an assertion/],
    [{ type: "string", pattern: "a\\b" }, /\\b at/],
    [{ type: "string", pattern: "(^a)" }, /\^ inside/],
    [{ type: "string", pattern: "\\p{L}" }, /\\p at/],
    [{ type: "string", pattern: "[一-龥]" }, /a class of more than 1000 characters/],
    [{ type: "string", minLength: 1e9 }, /minLength 1000000000/],
    [{ type: "integer", minimum: 4.5, maximum: 4.75 }, /bounds that no number is within/],
    [{ type: "file" }, /the type "file"/],
    [{ type: "integer", nullable: true }, /nullable of integer/],
    [false, /false, which nothing fits/],
    [deep(70), /schemas, or 64 in each other/],
    [{ enum: Array.from({ length: 5001 }, (_, i) => i) }, /5001 values/],
    [{ description: "x".repeat(300_000) }, /expected at most 200000/],
  ])("%j", async (schema, error) => {
    await expect(constrainer.constrain({ kind: "schema", schema })).rejects.toThrow(error);
  });

  test.each<[string, RegExp]>([
    ['root ::= "a', /line 1: got a text or a class without its end/],
    ["root ::= [a", /without its end/],
    ["root ::= a", /got a, which no rule has/],
    ['a ::= "x"', /got no rule root/],
    ['root ::= "a"\nroot ::= "b"', /line 2: got the rule root twice/],
    ['root ::= "a" (= "b")', /a lookahead/],
    ['root ::= "a"{99999}', /\{99999\}/],
    ['root ::= ("a"', /expected \)/],
    ['root ::= "a")', /expected a part of a rule/],
  ])("%s", async (grammar, error) => {
    await expect(constrainer.constrain({ kind: "grammar", grammar })).rejects.toThrow(error);
  });

  test("a grammar that takes too much time, which holds up nobody else", async () => {
    const hasty = await openConstrainer({ tokenizer: byteTokenizer, vocabulary: 256, end: new Set() }, { seconds: 2 });
    // Some 6 s of a Zen 5: three times what there is, since a faster one had compiled 600 in time.
    const classes = Array.from({ length: 1500 }, (_, i) => `"${i}" [a-z${i % 10}]{${10_000 - i}}`);
    const grammar = `root ::= ${classes.join(" ")}`;
    // A machine that gives the thread no time says that instead.
    await expect(hasty.constrain({ kind: "grammar", grammar })).rejects.toThrow(
      /got none compiled in 2 s|s to work in within \d+ s, expected 2 s/,
    );
    (await hasty.constrain({ kind: "regex", pattern: "fine" })).free();
    hasty.close();
  });

  test("more grammars at work than are kept, and not more than were", async () => {
    const open = (i: number) => constrainer.constrain({ kind: "regex", pattern: `a{${i}}` });
    const held = [];
    for (let i = 1; i <= 8; i++) held.push(await open(i));
    await expect(open(9)).rejects.toThrow(/one more beside 8 others at work/);
    held[0]!.free();
    held.push(await open(9));
    for (const constraint of held) constraint.free();
  });
});

/** The number of a new thread: they are counted. */
function nextThread(): number {
  const worker = new Worker("0", { eval: true });
  const { threadId } = worker;
  void worker.terminate();
  return threadId;
}

test("a thread is kept for the next grammar, for that of another vocabulary too; one that is at work is not", async () => {
  const bytes: Writing = { tokenizer: byteTokenizer, vocabulary: 256, end: new Set() };
  const some = await openConstrainer(bytes);
  for (let i = 1; i <= 8; i++) (await some.constrain({ kind: "regex", pattern: `b{${i}}` })).free();
  const before = nextThread();
  for (let i = 9; i <= 20; i++) {
    const constraint = await some.constrain({ kind: "regex", pattern: `b{${i}}` });
    expect(write(constraint, bytes, 1)).toBe("b".repeat(i));
  }
  some.close();
  const other = await openConstrainer({
    tokenizer: bpe.tokenizer,
    vocabulary: bpe.tokenizer.vocabulary,
    end: new Set(bpe.end),
  });
  expect(nextThread() - before).toBe(1);
  // What was begun under a grammar that has gone is over, and says so; its thread is another's, in which its number is another text's.
  const form: Form = { kind: "grammar", grammar: 'root ::= "{1}"' };
  const left = await other.constrain(form);
  other.close();
  const last = await openConstrainer(bytes);
  const text = await last.constrain(form);
  left.accept(bpe.tokenizer.encode("{")[0]!);
  expect(() => left.mask(new Float32Array(bpe.tokenizer.vocabulary))).toThrow(DeviceError);
  left.free();
  expect(write(text, bytes, 1)).toBe("{1}");
  expect(nextThread() - before).toBe(2);
  last.close();
});

test("with thoughts, the constraint begins after them", async () => {
  const writing: Writing = { tokenizer: bpe.tokenizer, vocabulary: bpe.tokenizer.vocabulary, end: new Set(bpe.end) };
  const constrainer = await openConstrainer(writing);
  const { tokenizer } = bpe;
  const constraint = await constrainer.constrain({ kind: "regex", pattern: "yes|no" }, { after: "</think>" });
  const allowed = () => {
    const logits = new Float64Array(writing.vocabulary);
    constraint.mask(logits);
    return [...logits.keys()].filter((id) => logits[id] === 0);
  };
  for (const id of tokenizer.encode("so < yes </thin")) {
    expect(allowed()).toHaveLength(writing.vocabulary - bpe.end.length);
    constraint.accept(id);
  }
  for (const id of tokenizer.encode("k>")) constraint.accept(id);
  expect(new Set(allowed().map((id) => tokenizer.decode([id])[0]))).toEqual(new Set(["\n", "y", "n"]));
  for (const id of tokenizer.encode("\n\nno")) {
    expect(allowed()).toContain(id);
    constraint.accept(id);
  }
  expect(allowed()).toEqual(bpe.end);
  constraint.free();
  constrainer.close();
});

describe("calls that a choice of tools asks for are calls to the parser of the same template", () => {
  const bar = "\uff5c";
  const templates: Readonly<Record<string, string>> = {
    hermes: "<tool_call>",
    markup: "<tool_call> <function= <parameter=",
    glm: "<tool_call> <arg_key>",
    kimi: "<|tool_calls_section_begin|>",
    deepseek: `<${bar}tool\u2581calls\u2581begin${bar}>`,
    fenced: `<${bar}tool\u2581calls\u2581begin${bar}> \`\`\`json`,
    python: "<|tool_call_start|>",
    llama: "<|python_tag|>",
    "DeepSeek V3.2": `${bar}DSML${bar} function_calls>`,
    "DeepSeek V4": `${bar}DSML${bar} tool_calls>`,
    "a list": "[TOOL_CALLS]",
    named: "[TOOL_CALLS] [ARGS]",
    params: '<function name="',
    tagged: "<function=example_function_name>",
    listed: "<tool_calls>[",
  };
  const parameters = {
    type: "object",
    properties: {
      city: { type: "string", maxLength: 20 },
      unit: { enum: ["C", "F"] },
      days: { type: "integer", minimum: 1, maximum: 14 },
      exact: { type: "boolean" },
    },
    required: ["city", "days"],
  };
  const tools = [{ name: "weather", parameters }, { name: "now" }];
  const writing: Writing = { tokenizer: bpe.tokenizer, vocabulary: bpe.tokenizer.vocabulary, end: new Set(bpe.end) };
  let constrainer: Constrainer;
  beforeAll(async () => {
    constrainer = await openConstrainer(writing);
  });
  afterAll(() => constrainer.close());

  test.each(Object.entries(templates))("%s", async (name, template) => {
    const schemas = new Map<string, unknown>(tools.map((tool) => [tool.name, tool.parameters]));
    let weather = 0;
    for (const many of [false, true]) {
      let [calls, named] = [0, 0];
      for (let seed = 1; seed <= seeds; seed++) {
        const constraint = await constrainer.constrain({ kind: "calls", template, tools, many });
        const text = write(constraint, writing, seed, 1500);
        if (text === undefined) continue;
        const parser = parserFor(template, { tools: true, thinking: "closed", schemas });
        const deltas = [...parser.push(text), ...parser.end()];
        expect(deltas.length).toBeGreaterThan(0);
        for (const { call } of deltas) {
          expect([text, call?.name]).toEqual([text, call?.name === "now" ? "now" : "weather"]);
          calls++;
          if (call?.name !== "weather") continue;
          named++;
          // A text between marks has no length that a grammar could bound.
          const loose = { ...parameters, properties: { ...parameters.properties, city: { type: "string" } } };
          expect([text, isValid(loose, JSON.parse(call.arguments))]).toEqual([text, true]);
        }
        if (!many) expect(deltas).toHaveLength(1);
      }
      expect(calls, name).toBeGreaterThan(1);
      weather += named;
    }
    expect(weather, name).toBeGreaterThan(0);
  });

  test("a template that does not say how, and no tools, are refused", async () => {
    const ask = (template: string, some: typeof tools) =>
      constrainer.constrain({ kind: "calls", template, tools: some, many: false });
    await expect(ask("{{ messages }}", tools)).rejects.toThrow(/tool_choice: got a template that does not say/);
    await expect(ask("<tool_call>", [])).rejects.toThrow(/got no tools/);
  });
});

test("what stands around a constraint passes on whether it is ready, and whether no token ends it", () => {
  const slow: Constraint = { mask() {}, accept() {}, free() {}, ready: false, endless: true, done: true };
  const of = ({ ready, endless, done }: Constraint) => [ready, endless, done];
  const freed = untilFreed(slow);
  expect(of(freed)).toEqual([false, true, true]);
  freed.free();
  expect(of(freed)).toEqual([true, false, false]);
  const called = whenCalled(slow, 7);
  expect(of(called)).toEqual([true, false, false]);
  called.accept(7);
  expect(of(called)).toEqual([false, true, true]);
  const after = afterThoughts(slow, byteTokenizer, [], "}");
  expect(of(after)).toEqual([true, false, false]);
  after.accept("}".charCodeAt(0));
  expect(of(after)).toEqual([false, true, true]);
});
