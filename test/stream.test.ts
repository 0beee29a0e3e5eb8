import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { stopper } from "../src/generate/stop.ts";
import { textStream } from "../src/tokenizer/stream.ts";
import { byteTokenizer, type Tokenizer } from "../src/tokenizer/tokenizer.ts";
import { tokenizers } from "./fixture/tokenizers.ts";

const all: [string, Tokenizer][] = [["bytes", byteTokenizer], ...Object.entries(tokenizers)];
const pieces = (tokenizer: Tokenizer, ids: Iterable<number>, special?: "keep" | "omit") => {
  const stream = textStream(tokenizer, special ? { special } : {});
  return [...Array.from(ids, (id) => stream.push(id)), stream.end()];
};

describe.each(all)("%s in a stream", (_, tokenizer) => {
  const { vocabulary } = tokenizer;
  // Any id as often as any other, and those that go on with a character or end it more often than that.
  const known = Array.from({ length: vocabulary }, (__, id) => id);
  const busy = known.filter((id) => /^(<0x)?[\ufffd\u2581 ]|^<0x[89A-F]/i.test(tokenizer.decode([id])));
  const ids = fc.array(fc.oneof(fc.nat(vocabulary - 1), fc.constantFrom(...(busy.length ? busy : known))), {
    maxLength: 40,
  });

  test("random ids decode to the same text as at once", () => {
    fc.assert(
      fc.property(ids, (list) => {
        const whole = tokenizer.decode(list);
        // Of bytes in a row that are no text the whole says nothing; a stream has said what the first of them were.
        fc.pre(tokenizer.kind !== "byte-fallback" || !whole.includes("\ufffd"));
        expect(pieces(tokenizer, list).join("")).toBe(whole);
      }),
      { numRuns: 2000 },
    );
  });

  test("special tokens and unknown ids are left out where that is asked for", () => {
    fc.assert(
      fc.property(ids, (list) => {
        const plain = list.filter((id) => !tokenizer.special.has(id));
        fc.pre(tokenizer.kind !== "byte-fallback" || !tokenizer.decode(plain).includes("\ufffd"));
        expect(pieces(tokenizer, [...list, vocabulary, vocabulary + 7], "omit").join("")).toBe(tokenizer.decode(plain));
      }),
    );
  });
});

test("text appears as soon as its characters are whole", () => {
  const bytes = [...Buffer.from("a\u00e9\u4e2d\ud83d\ude00!")];
  expect(pieces(byteTokenizer, bytes)).toEqual([
    "a",
    "",
    "\u00e9",
    "",
    "",
    "\u4e2d",
    "",
    "",
    "",
    "\ud83d\ude00",
    "!",
    "",
  ]);
  const { sentencePiece } = tokenizers;
  const ids = sentencePiece!.encode("ab \ud83d\ude00 a");
  // What has no token is its bytes, and the space in front is the tokenizer's own.
  expect(pieces(sentencePiece!, ids)).toEqual(["ab", " ", "", "", "", "\ud83d\ude00", " a", ""]);
});

test("bytes that are no character do not wait for ever", () => {
  const parts = pieces(byteTokenizer, [0xff, 0xff, 0xff, 0x41, 0xe4, 0xb8]);
  expect(parts).toEqual(["", "\ufffd", "\ufffd", "\ufffdA", "", "", "\ufffd"]);
});

test("a token that is no text does not make the next one the first", () => {
  const { sentencePiece } = tokenizers;
  // A byte order mark is a character like others; the space after it is none of the tokenizer's own.
  const ids = [...["a", "<0xEF>", "<0xBB>", "<0xBF>", "\u2581a"].map((token) => sentencePiece!.id(token)!)];
  expect(pieces(sentencePiece!, ids).join("")).toBe("a\ufeff a");
  expect(sentencePiece!.decode(ids)).toBe("a\ufeff a");
});

describe("stop strings", () => {
  const letters = fc.string({ unit: fc.constantFrom("a", "b", "c", "\ud83d\ude00"), maxLength: 12 });
  const stops = fc.array(fc.string({ unit: fc.constantFrom("a", "b", "\ud83d\ude00"), minLength: 1, maxLength: 4 }), {
    maxLength: 3,
  });

  test("end the text before the one that is complete first, however it is cut into pieces", () => {
    fc.assert(
      fc.property(fc.array(letters, { maxLength: 8 }), stops, (parts, wanted) => {
        const whole = parts.join("");
        let expected = whole;
        for (let end = 1; end <= whole.length && expected === whole; end++) {
          const hits = wanted.filter((stop) => whole.slice(0, end).endsWith(stop));
          if (hits.length) expected = whole.slice(0, end - Math.max(...hits.map((stop) => stop.length)));
        }
        const stopped = wanted.some((stop) => whole.includes(stop));
        const gate = stopper(wanted);
        let shown = "";
        let met = false;
        for (const part of parts) {
          const passed = gate.push(part);
          shown += passed.text;
          met ||= passed.stopped;
          // What is shown is never taken back.
          expect(expected.startsWith(shown)).toBe(true);
        }
        expect([shown + gate.end(), met]).toEqual([expected, stopped]);
      }),
      { numRuns: 1000 },
    );
  });

  test("hold back no more than could begin one", () => {
    const gate = stopper(["</s>", "\n\n"]);
    expect(["a<", "b</", "s", ">c"].map((piece) => gate.push(piece))).toEqual([
      { text: "a", stopped: false },
      { text: "<b", stopped: false },
      { text: "", stopped: false },
      { text: "", stopped: true },
    ]);
    expect(gate.push("more")).toEqual({ text: "", stopped: true });
    expect(gate.end()).toBe("");
  });
});
