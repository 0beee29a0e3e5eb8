import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { copyingSource } from "../src/data/copying.ts";
import { recallSource } from "../src/data/recall.ts";
import type { Batch, Source } from "../src/data/source.ts";
import { stepRandom } from "../src/data/source.ts";
import { storyOf, storySource } from "../src/data/story.ts";
import { openText, textSource } from "../src/data/text.ts";
import { FormatError, ShapeError } from "../src/tensor/error.ts";
import { Random } from "../src/tensor/random.ts";
import type { Tokenizer } from "../src/tokenizer/tokenizer.ts";

let dir = "";
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "biform-data-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const encoder = new TextEncoder();
const letters = (n: number, seed = 1) => {
  const random = new Random(seed);
  return Uint8Array.from({ length: n }, () => 97 + random.integer(26));
};
const named = (bytes: Uint8Array, name = "text.txt") => ({ name, bytes });

/** Every source, at sizes that allow rows of up to 64 tokens. The laws below hold for whatever is listed. */
const sources: { name: string; make: (seed: number) => Source }[] = [
  { name: "text", make: (seed) => textSource([named(letters(5000))], { seed, length: 64 }) },
  {
    name: "two texts",
    make: (seed) => textSource([named(letters(900)), named(letters(700, 2))], { seed, length: 64 }),
  },
  { name: "recall", make: (seed) => recallSource(seed) },
  { name: "wide recall", make: (seed) => recallSource(seed, { vocabulary: 1000, pairs: 5, queries: 13 }) },
  { name: "copying", make: (seed) => copyingSource(seed, { items: 12 }) },
  { name: "wide copying", make: (seed) => copyingSource(seed, { vocabulary: 500, items: 7 }) },
  { name: "stories", make: (seed) => storySource(seed) },
];

const size = fc.record({ count: fc.integer({ min: 1, max: 5 }), length: fc.integer({ min: 24, max: 64 }) });
const seed = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const step = fc.nat(1_000_000);

describe.each(sources)("the laws of a source: $name", ({ make }) => {
  test("a batch is a function of seed and step, whatever was asked before", () => {
    fc.assert(
      fc.property(seed, step, step, size, (s, a, b, { count, length }) => {
        const first = make(s).batch(a, count, length);
        const other = make(s);
        other.batch(b, count, length);
        other.heldOut(2, count, length);
        expect(other.batch(a, count, length)).toEqual(first);
      }),
      { numRuns: 30 },
    );
  });

  test("ids and targets lie in the vocabulary and are as many as asked for", () => {
    fc.assert(
      fc.property(seed, step, size, (s, at, { count, length }) => {
        const source = make(s);
        for (const batch of [source.batch(at, count, length), ...source.heldOut(3, count, length)]) {
          expect([batch.ids.length, batch.targets.length]).toEqual([count * length, count * length]);
          expect(batch.ids.every((id) => id >= 0 && id < source.vocabulary)).toBe(true);
          expect(batch.targets.every((id) => id >= -1 && id < source.vocabulary)).toBe(true);
          expect(batch.targets.some((id) => id >= 0)).toBe(true);
          expect(source.decode(batch.ids).length).toBeGreaterThan(0);
        }
      }),
      { numRuns: 30 },
    );
  });

  test("other steps and other seeds give other batches", () => {
    const source = make(1);
    const seen = new Set(Array.from({ length: 200 }, (_, i) => source.batch(i, 2, 48).ids.join()));
    for (let s = 2; s < 50; s++) seen.add(make(s).batch(0, 2, 48).ids.join());
    expect(seen.size).toBe(248);
  });

  test("held-out batches are the same on every call and share no row with training", () => {
    const source = make(3);
    const rows = (batch: Batch) =>
      Array.from({ length: batch.count }, (_, r) => batch.ids.subarray(r * 64, r * 64 + 64).join());
    const held = source.heldOut(4, 4, 64);
    expect(source.heldOut(4, 4, 64)).toEqual(held);
    const trained = new Set(Array.from({ length: 200 }, (_, i) => rows(source.batch(i, 4, 64))).flat());
    expect(held.flatMap(rows).filter((row) => trained.has(row))).toEqual([]);
  });

  test("a length the source cannot give is a ShapeError", () => {
    const { lengths } = make(1);
    expect(() => make(1).batch(0, 1, lengths.least - 1)).toThrow(ShapeError);
    if (Number.isFinite(lengths.most)) expect(() => make(1).batch(0, 1, lengths.most + 1)).toThrow(ShapeError);
    expect(() => make(1).batch(0, 1, lengths.least)).not.toThrow();
  });
});

test("the numbers of a step differ between training and held-out for every seed and step", () => {
  fc.assert(
    fc.property(seed, step, step, (s, a, b) => {
      expect(stepRandom(s, "train", a).save()).not.toEqual(stepRandom(s, "heldOut", b).save());
    }),
  );
});

describe("text", () => {
  test("targets are the ids one further on, and every window lies in the training part", () => {
    const bytes = letters(2000);
    const source = textSource([named(bytes)], { seed: 5, length: 40 });
    const train = new TextDecoder().decode(bytes.subarray(0, 1800));
    for (let i = 0; i < 100; i++) {
      const { ids, targets } = source.batch(i, 3, 40);
      for (let row = 0; row < 3; row++) {
        const [from, to] = [row * 40, row * 40 + 40];
        expect([...targets.subarray(from, to - 1)]).toEqual([...ids.subarray(from + 1, to)]);
        expect(train).toContain(source.decode([...ids.subarray(from, to), targets[to - 1]!]));
      }
    }
  });

  test("training reaches the first and the last byte of its part", () => {
    const bytes = Uint8Array.from({ length: 120 }, (_, i) => i);
    const source = textSource([named(bytes)], { seed: 5, length: 10 });
    const seen = new Set(
      Array.from({ length: 300 }, (_, i) => source.batch(i, 4, 10)).flatMap((b) => [...b.ids, ...b.targets]),
    );
    expect([...seen].sort((a, b) => a - b)).toEqual(Array.from({ length: 108 }, (_, i) => i));
  });

  test("all held-out batches together score every held-out byte but the first, once", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 200, max: 2000 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 7 }),
        (n, length, count) => {
          const bytes = letters(n);
          const source = textSource([named(bytes)], { seed: 0, length: 40 });
          const scored = source.heldOut(1_000_000, count, length).flatMap((b) => [...b.targets].filter((t) => t >= 0));
          // From a small text more than a tenth is held out, so that it makes one whole row of 40.
          expect(scored.length).toBeGreaterThanOrEqual(Math.max(Math.floor(n * 0.1) - 1, 40));
          expect(scored.length).toBeLessThanOrEqual(Math.max(Math.ceil(n * 0.1), 40 + n * 0.1));
          expect(scored).toEqual([...bytes.subarray(n - scored.length)]);
        },
      ),
      { numRuns: 50 },
    );
  });

  test("fewer held-out batches than there are spread over the whole held-out part", () => {
    const bytes = Uint8Array.from({ length: 10_000 }, (_, i) => Math.floor(i / 100));
    const [batch] = textSource([named(bytes)], { seed: 0, length: 10 }).heldOut(1, 5, 10);
    expect([0, 1, 2, 3, 4].map((row) => batch!.ids[row * 10])).toEqual([90, 92, 94, 96, 98]);
  });

  test("with several texts the end of each is held out", () => {
    const source = textSource([named(new Uint8Array(500).fill(1)), named(new Uint8Array(500).fill(2))], {
      seed: 0,
      length: 20,
    });
    const ids = source.heldOut(100, 1, 20).flatMap((b) => [...b.ids]);
    expect([ids.filter((x) => x === 1).length, ids.filter((x) => x === 2).length]).toEqual([50, 49]);
  });

  test("tokens of a tokenizer are counted in bytes on the held-out part, and cuts respect characters", () => {
    // One token per character: e acute has two bytes.
    const characters: Tokenizer = {
      vocabulary: 0x250,
      encode: (text) => Int32Array.from(text, (c) => c.codePointAt(0)!),
      prompt: (text) => characters.encode(text),
      special: new Set(),
      id: () => undefined,
      kind: "plain",
      piece: (id) => new TextEncoder().encode(String.fromCharCode(id)),
      decode: (ids) => String.fromCodePoint(...Array.from(ids)),
    };
    const bytes = encoder.encode("\u00e9".repeat(1003));
    const source = textSource([named(bytes)], { seed: 0, length: 16, tokenizer: characters });
    expect(source.bytesPerToken).toBe(2);
    expect(source.decode(source.batch(0, 1, 16).ids)).toBe("\u00e9".repeat(16));
    const broken = () =>
      textSource([named(Uint8Array.of(...bytes, 0xff))], { seed: 0, length: 16, tokenizer: characters });
    expect(broken).toThrow(/text\.txt: got bytes that are no UTF-8/);
    expect(broken).toThrow(FormatError);
  });

  test("an empty text is refused by name, and a tiny one with the bytes it would take, which then are enough", () => {
    expect(() =>
      textSource([named(letters(500)), named(new Uint8Array(), "empty.txt")], { seed: 0, length: 8 }),
    ).toThrow(/empty\.txt: got an empty file/);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 600 }), fc.integer({ min: 1, max: 512 }), (n, length) => {
        const make = (bytes: number) => textSource([named(letters(bytes))], { seed: 0, length });
        try {
          make(n).batch(0, 2, length);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
          const needed = Number(/got \d+ bytes of text, expected at least (\d+) for rows/.exec(String(error))?.[1]);
          expect(needed).toBeGreaterThan(n);
          expect(make(needed).batch(0, 2, length).ids.length).toBe(2 * length);
          expect(make(needed).heldOut(1, 2, length).length).toBe(1);
        }
      }),
      { numRuns: 300 },
    );
  });

  test("files that are missing, folders or none at all are FormatErrors that name them", async () => {
    const settings = { seed: 0, length: 8 };
    await expect(openText([], settings)).rejects.toThrow(FormatError);
    await expect(openText([join(dir, "none.txt")], settings)).rejects.toThrow(/none\.txt: got ENOENT/);
    await expect(openText([dir], settings)).rejects.toThrow(/got EISDIR|got a folder/);
    await writeFile(join(dir, "empty.txt"), "");
    await expect(openText([join(dir, "empty.txt")], settings)).rejects.toThrow(/empty\.txt: got an empty file/);
  });

  const shakespeare = new URL("../../shared/data/tinyshakespeare.txt", import.meta.url).pathname;
  // That text lies beside the repository, not in it.
  test.skipIf(!existsSync(shakespeare))(
    "a text of a megabyte is read as it is (skipped where ../shared/data is absent)",
    async () => {
      const source = await openText([shakespeare], { seed: 1, length: 256 });
      expect(source.name).toBe("tinyshakespeare.txt");
      expect(source.heldOut(1e9, 8, 256).length).toBe(Math.ceil(Math.ceil(111_539 / 256) / 8));
      expect(source.decode(source.batch(7, 1, 256).ids)).toMatch(/^[\x20-\x7e\n]{256}$/);
    },
  );
});

describe("copying", () => {
  test("scores the symbols again and nothing else, at whatever length", () => {
    fc.assert(
      fc.property(seed, step, fc.integer({ min: 1, max: 20 }), fc.nat(9), (s, at, items, filler) => {
        const length = 2 * items + filler;
        const { ids, targets } = copyingSource(s, { vocabulary: 40, items }).batch(at, 1, length);
        const told = ids.subarray(filler, filler + items);
        expect(told.every((id) => id > 0)).toBe(true);
        expect([...ids.subarray(0, filler), ids[filler + items]].every((id) => id === 0)).toBe(true);
        expect([...targets.subarray(filler + items)]).toEqual([...told]);
        expect([...ids.subarray(filler + items + 1)]).toEqual([...told.subarray(0, -1)]);
        expect(targets.subarray(0, filler + items).every((target) => target < 0)).toBe(true);
      }),
    );
  });

  test("refuses sizes that do not fit", () => {
    expect(() => copyingSource(0, { vocabulary: 2 })).toThrow(
      /got vocabulary 2, expected a whole number of at least 3/,
    );
    expect(() => copyingSource(0, { items: 0 })).toThrow(ShapeError);
    expect(() => copyingSource(0, { items: 8 }).batch(0, 1, 15)).toThrow(/rows of 15 tokens, expected at least 16/);
    expect(() => copyingSource(0, {}).decode([64])).toThrow(/got the id 64/);
    expect(copyingSource(0, {}).decode([3, 0])).toBe("s3 |");
  });
});

describe("recall", () => {
  test("every query is answered by the value last bound to its key, nothing else is scored", () => {
    const sizes = fc
      .record({
        pairs: fc.integer({ min: 1, max: 12 }),
        queries: fc.integer({ min: 1, max: 30 }),
        extra: fc.nat(40),
        spare: fc.nat(30),
      })
      .chain((s) => fc.record({ s: fc.constant(s), seed, step }));
    fc.assert(
      fc.property(sizes, ({ s: { pairs, queries, extra, spare }, seed: s, step: at }) => {
        const vocabulary = 2 * pairs + 1 + spare;
        const length = 2 * pairs + queries + extra;
        const { ids, targets } = recallSource(s, { vocabulary, pairs, queries }).batch(at, 1, length);
        const keys = Math.floor((vocabulary - 1) / 2);
        const table = new Map<number, number>();
        for (let i = 0; i < pairs; i++) table.set(ids[2 * i]!, ids[2 * i + 1]!);
        expect(table.size).toBe(pairs);
        for (const [key, value] of table)
          expect([key >= 1, key <= keys, value > keys, value <= 2 * keys]).toEqual(Array(4).fill(true));
        const asked = new Map([...table.keys()].map((key) => [key, 0]));
        for (let i = 0; i < length; i++) {
          const queried = i >= 2 * pairs && ids[i] !== 0;
          expect(targets[i]).toBe(queried ? table.get(ids[i]!) : -1);
          if (queried) asked.set(ids[i]!, asked.get(ids[i]!)! + 1);
        }
        const times = [...asked.values()];
        expect(times.reduce((a, b) => a + b)).toBe(queries);
        expect(Math.max(...times) - Math.min(...times)).toBeLessThanOrEqual(1);
      }),
      { numRuns: 200 },
    );
  });

  test("keys, values and places of queries are spread evenly", () => {
    const { ids } = recallSource(9, { vocabulary: 21, pairs: 2, queries: 1 }).batch(0, 20_000, 14);
    const counts = (column: number) => {
      const found = new Map<number, number>();
      for (let row = 0; row < 20_000; row++)
        found.set(ids[row * 14 + column]!, (found.get(ids[row * 14 + column]!) ?? 0) + 1);
      return found;
    };
    // 10 of each, 2000 times expected; 5 standard deviations are 212.
    for (const column of [0, 1, 2, 3]) {
      expect(counts(column).size).toBe(10);
      for (const n of counts(column).values()) expect(Math.abs(n - 2000)).toBeLessThan(212);
    }
    for (let column = 4; column < 14; column++)
      expect(Math.abs(20_000 - counts(column).get(0)! - 2000)).toBeLessThan(212);
  });

  test("sizes that do not fit are ShapeErrors that say what would", () => {
    expect(() => recallSource(0, { vocabulary: 16, pairs: 8 })).toThrow(
      /expected at most 7; use a vocabulary of 17 or more/,
    );
    expect(() => recallSource(0, { vocabulary: 17, pairs: 8 })).not.toThrow();
    expect(() => recallSource(0, { pairs: 0 })).toThrow(ShapeError);
    expect(() => recallSource(0, { queries: 1.5 })).toThrow(ShapeError);
    expect(() => recallSource(0, { pairs: 8, queries: 4 }).batch(0, 1, 19)).toThrow(
      /rows of 19 tokens, expected at least 20/,
    );
  });
});

describe("stories", () => {
  test("every event is possible and every answer follows from the sentences before", () => {
    const random = new Random(11);
    const answers = new Map<string, number>();
    for (let i = 0; i < 2000; i++) {
      const text = storyOf(random, i % 2 ? "train" : "heldOut");
      expect(text).toMatch(/^[A-Z][A-Za-z ,.?]+\.\n\n$/);
      for (const kind of follow(text.trimEnd())) answers.set(kind, (answers.get(kind) ?? 0) + 1);
    }
    // All kinds of question occur, and often.
    expect([...answers.keys()].sort()).toEqual(["has", "nobody", "person", "thing held", "thing lying"]);
    expect(Math.min(...answers.values())).toBeGreaterThan(300);
  });

  test("no story is in both parts, however many are told", () => {
    const tell = (part: "train" | "heldOut", seed: number) => {
      const random = new Random(seed);
      return Array.from({ length: 3000 }, () => storyOf(random, part));
    };
    const trained = new Set(tell("train", 1));
    expect(tell("heldOut", 1).filter((story) => trained.has(story))).toEqual([]);
    expect(trained.size).toBeGreaterThan(2900);
  });

  test("a row begins with a story and goes on with the next, one byte a token", () => {
    const source = storySource(4);
    const { ids, targets } = source.batch(0, 3, 1500);
    for (let row = 0; row < 3; row++) {
      const text = source.decode(ids.subarray(row * 1500, (row + 1) * 1500));
      const stories = text.split("\n\n");
      expect(stories.length).toBeGreaterThan(2);
      for (const story of stories.slice(0, -1)) expect(() => follow(story)).not.toThrow();
      expect([...targets.subarray(row * 1500, row * 1500 + 1499)]).toEqual([
        ...ids.subarray(row * 1500 + 1, (row + 1) * 1500),
      ]);
    }
  });

  test("the text of a seed never changes between versions or machines", () => {
    const source = storySource(1);
    expect(source.decode(source.batch(0, 1, 60).ids)).toMatchInlineSnapshot(
      `"Ada is at the market. Omar is at the station. Mia is at the "`,
    );
    expect(recallSource(1, { pairs: 3 }).batch(0, 1, 9).ids).toMatchInlineSnapshot(`
      Int32Array [
        8,
        57,
        14,
        33,
        16,
        60,
        16,
        14,
        8,
      ]
    `);
  });
});

/** Reads a story sentence by sentence, keeping who is where and who has what; throws where an event or an answer is wrong. */
function follow(story: string): string[] {
  const place = new Map<string, string>();
  const holder = new Map<string, string>();
  const preposition = new Map<string, string>();
  const kinds: string[] = [];
  const require = (condition: boolean, sentence: string) => {
    if (!condition) throw new Error(`wrong: ${sentence} in ${story}`);
  };
  const at = (words: string) => {
    const [before, noun] = words.split(" the ") as [string, string];
    require((preposition.get(noun) ?? before) === before, words);
    preposition.set(noun, before);
    return noun;
  };
  const whereabouts = (thing: string) => place.get(holder.get(thing) ?? thing);
  type Rule = [pattern: RegExp, apply: (a: string, b: string, c: string) => boolean];
  const rules: Rule[] = [
    [
      /^Where is ([A-Z]\w+)\? (\w+) is (.+)\.$/,
      (who, again, words) => kinds.push("person") > 0 && who === again && place.get(who) === at(words),
    ],
    [
      /^Where is the (\w+)\? It is (.+)\.$/,
      (thing, words) =>
        kinds.push(holder.has(thing) ? "thing held" : "thing lying") > 0 && whereabouts(thing) === at(words),
    ],
    [
      /^Who has the (\w+)\? (\w+) has it\.$/,
      (thing, who) => kinds.push(who === "Nobody" ? "nobody" : "has") > 0 && (holder.get(thing) ?? "Nobody") === who,
    ],
    [
      /^(\w+) (?:takes|picks up) the (\w+)\.$/,
      (who, thing) =>
        place.has(thing) && place.get(who) === place.get(thing) && !holder.has(thing) && !!holder.set(thing, who),
    ],
    [
      /^(\w+) gives the (\w+) to (\w+)\.$/,
      (who, thing, to) =>
        holder.get(thing) === who && who !== to && place.get(who) === place.get(to) && !!holder.set(thing, to),
    ],
    [
      /^(\w+) puts down the (\w+)\.$/,
      (who, thing) => holder.get(thing) === who && holder.delete(thing) && !!place.set(thing, place.get(who)!),
    ],
    [
      /^(\w+) (?:goes|walks|runs) to the (\w+)\.$/,
      (who, to) => place.has(who) && place.get(who) !== to && !!place.set(who, to),
    ],
    [/^(?:The )?(\w+) is (.+)\.$/, (what, words) => !place.has(what) && !!place.set(what, at(words))],
  ];
  for (const sentence of story.match(/[A-Z][^.?]*\?[^.]*\.|[A-Z][^.?]*\./g)!) {
    const rule = rules.find(([pattern]) => pattern.test(sentence));
    const [, a = "", b = "", c = ""] = rule?.[0].exec(sentence) ?? [];
    require(rule?.[1](a, b, c) ?? false, sentence);
  }
  return kinds;
}
