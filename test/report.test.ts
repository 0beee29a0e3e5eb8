import { readFileSync } from "node:fs";
import fc from "fast-check";
import { JSDOM } from "jsdom";
import { describe, expect, test } from "vitest";
import { place, spread } from "../src/draw/label.ts";
import { bytes, compact, duration } from "../src/draw/quantity.ts";
import { tableWidth } from "../src/draw/text.ts";
import { report } from "../src/lab/report.ts";
import { type Comparison, comparisonSchema, parseComparison } from "../src/lab/result.ts";
import { pairedDifference } from "../src/lab/statistics.ts";
import { table } from "../src/lab/table.ts";
import { rank, verdict } from "../src/lab/verdict.ts";
import { FormatError } from "../src/tensor/error.ts";

const text = readFileSync(new URL("fixture/comparison.json", import.meta.url), "utf8");
const fixture = (): Comparison => parseComparison(JSON.parse(text));

/** Parsed JSON before anything has checked it. */
type Raw = ReturnType<typeof JSON.parse>;

/** The fixture as plain JSON with one change, for what the type forbids. */
function broken(change: (raw: Raw) => void): unknown {
  const raw = JSON.parse(text);
  change(raw);
  return raw;
}

/** The fixture as `--seeds 1` would have left it. */
function oneSeed(): Comparison {
  const result = fixture();
  for (const variant of result.variants) {
    variant.seeds.length = 1;
    variant.loss = { mean: variant.seeds[0]!.loss, low: null, high: null };
    delete variant.versus;
  }
  return result;
}

function allDiverged(): Comparison {
  const result = fixture();
  for (const variant of result.variants) {
    for (const seed of variant.seeds) {
      seed.loss = null;
      seed.heldOut!.losses.fill(null);
    }
    variant.loss = { mean: null, low: null, high: null };
    delete variant.versus;
  }
  return result;
}

const parsed = (html: string) => new JSDOM(html).window.document;

describe("the schema of a result", () => {
  test("accepts a real one and keeps everything in it", () => {
    expect(parseComparison(JSON.parse(text))).toEqual(JSON.parse(text));
  });

  test("keeps settings and machine facts it does not know by name", () => {
    const raw = broken((result) => {
      result.settings.novel = { nested: [1, "two", null] };
    });
    expect(parseComparison(raw).settings.novel).toEqual({ nested: [1, "two", null] });
  });

  test.each<[string, (raw: Raw) => void, RegExp]>([
    [
      "a number that is text",
      (raw) => (raw.variants[1].loss.mean = "low"),
      /variants\[1\]\.loss\.mean: got "low", expected number/,
    ],
    ["a missing part", (raw) => delete raw.variants[2].train, /variants\[2\]\.train: got nothing, expected object/],
    ["no variants", (raw) => (raw.variants = []), /variants: got \[\]/],
    [
      "a name used twice",
      (raw) => (raw.variants[3].spec = "MHA"),
      /variants\[3\]\.spec: got "MHA", expected a name no other/,
    ],
    [
      "a reference to nobody",
      (raw) => (raw.variants[1].versus.spec = "X"),
      /variants\[1\]\.versus\.spec: got "X", expected a variant/,
    ],
    ["a curve with a loss too few", (raw) => raw.variants[0].seeds[0].training.losses.pop(), /as many losses as steps/],
    ["a misspelt name", (raw) => (raw.variants[0].paramters = 1), /variants\[0\]: .*paramters/],
    ["a rate of zero", (raw) => (raw.variants[0].decode[0].tokensPerSecond = 0), /decode\[0\]\.tokensPerSecond: got 0/],
  ])("rejects %s and says where, what and what instead", (_, change, message) => {
    const parse = () => parseComparison(broken(change), "old.json");
    expect(parse).toThrow(FormatError);
    expect(parse).toThrow(message);
    expect(parse).toThrow(/^old\.json: /);
  });

  test.each([null, 3, "text", [], {}])("rejects %j without failing on its way to say so", (value) => {
    expect(() => parseComparison(value)).toThrow(FormatError);
  });

  test("is published as JSON Schema that names every field the result must have", () => {
    const schema = comparisonSchema() as Raw;
    expect(schema.required).toEqual(expect.arrayContaining(["machine", "settings", "variants"]));
    expect(schema.properties.variants.items.required.sort()).toEqual(
      [
        "spec",
        "parameters",
        "cacheValuesPerTokenPerLayer",
        "trainFlops",
        "seeds",
        "loss",
        "train",
        "prefill",
        "decode",
      ].sort(),
    );
    expect(() => JSON.stringify(schema)).not.toThrow();
  });
});

describe("the verdict", () => {
  test("calls a difference one exactly where its paired interval leaves zero out", () => {
    const { best, standings } = rank(fixture());
    expect(best!.spec).toBe("MLA");
    const apart = standings.filter(({ separated }) => separated).map(({ variant }) => variant.spec);
    expect(apart).toEqual(["MHA", "GQA2-128"]);
    expect(verdict(fixture()).headline).toBe(
      "MLA reached the lowest held-out loss. MHA and GQA2-128 are worse by more than the noise; GQA1-256-PR and GQA2-(192+64)-S2 cannot be told from it.",
    );
  });

  test("agrees with the differences the fixture states", () => {
    const { variants } = fixture();
    for (const { seeds, versus } of variants.slice(1))
      expect(pairedDifference(seeds, variants[0]!.seeds).mean).toBeCloseTo(versus!.mean!, 3);
  });

  test("claims nothing from one seed", () => {
    const { headline, limits } = verdict(oneSeed());
    expect(headline).toMatch(/no difference can be told from noise/);
    expect(limits.join(" ")).toMatch(/One seed has no interval/);
    expect(rank(oneSeed()).standings.some(({ separated }) => separated)).toBe(false);
  });

  test("ranks nothing where everything diverged, and compares nothing where one variant is alone", () => {
    expect(verdict(allDiverged()).headline).toMatch(/diverged/);
    const alone = fixture();
    alone.variants.length = 1;
    expect(verdict(alone).headline).toBe("Only MHA was trained, so nothing is compared.");
  });

  test("does not let speeds of several kinds of machines pass for one's", () => {
    const of = (...places: Raw[]) => verdict({ ...fixture(), machine: { places } }).limits.join(" ");
    const place = (engine: string, host: string) => ({ engine, machine: { cpu: "one", host }, runs: 3 });
    expect(of(place("biform", "a"), place("torch", "a"))).toMatch(/Runs are of 2 kinds of machines or engines/);
    expect(of(place("biform", "a"), place("biform", "b"))).not.toMatch(/kinds of machines/);
  });

  test("names the form that turns out faster and where the other one was", () => {
    expect(verdict(fixture()).findings.join(" ")).toMatch(
      /MLA decodes 2\.2 times faster in its absorbed form than expanded at 16384 tokens; at 256 tokens its expanded form/,
    );
  });

  test("says what could not be matched and how few tokens a parameter saw", () => {
    const limits = verdict(fixture()).limits.join(" ");
    expect(limits).toMatch(/MLA could not be matched in full: training FLOPs/);
    expect(limits).toMatch(/0\.12 training tokens per parameter/);
  });
});

describe("the terminal table", () => {
  const widest = (lines: string) => Math.max(...lines.split("\n").map((line) => [...line].length));

  test("fits 100 columns, names every variant, marks the best and what cannot be told from it", () => {
    const lines = table(fixture());
    expect(widest(lines)).toBeLessThanOrEqual(tableWidth);
    for (const { spec } of fixture().variants) expect(lines).toContain(spec);
    expect(lines).toMatch(/^MLA .* \* /m);
    expect(lines).toMatch(/^GQA1-256-PR .* ~ /m);
    expect(lines).not.toMatch(/^MHA .* ~ /m);
    expect(lines).toMatch(/^~ not shown to differ/m);
    expect(lines).toMatch(/^MLA .*absorbed$/m);
  });

  test("fits 100 columns for any names, forms and numbers, and lets no control character through", () => {
    const name = fc.oneof(
      fc.string({ minLength: 1, maxLength: 300 }),
      fc.string({ unit: "binary", minLength: 1, maxLength: 80 }),
    );
    const rate = fc.double({ min: 1e-3, max: 1e15, noNaN: true });
    fc.assert(
      fc.property(fc.array(name, { minLength: 5, maxLength: 5 }), name, rate, fc.nat(), (names, form, speed, cache) => {
        const result = fixture();
        result.variants.forEach((variant, index) => {
          variant.spec = names[index]!;
          variant.cacheValuesPerTokenPerLayer = cache;
          variant.train.tokensPerSecond = speed;
          variant.decode = variant.decode.map((entry) => ({ ...entry, form, tokensPerSecond: speed }));
        });
        const lines = table(result);
        expect(widest(lines)).toBeLessThanOrEqual(tableWidth);
        expect(lines).toMatch(/^[\n\x20-\x7e─–±…−]*$/u);
      }),
    );
  });

  test("keeps the end of a long name, where specs differ", () => {
    const result = fixture();
    result.variants[0]!.spec = `GQA2-${"long-".repeat(60)}S3`;
    expect(table(result)).toMatch(/…[\s\S]*S3$/m);
  });

  test("shows no interval for one seed and says why, and prints what diverged or was not measured", () => {
    expect(table(oneSeed())).not.toContain("±");
    expect(table(oneSeed())).toContain("one seed: no interval");
    expect(table(allDiverged())).toContain("diverged");
    const bare = fixture();
    for (const variant of bare.variants) [variant.prefill, variant.decode] = [[], []];
    expect(table(bare)).toMatch(/^MHA .*–$/m);
  });
});

describe("the report", () => {
  test("loads nothing and runs nothing", () => {
    const html = report(fixture());
    const document = parsed(html);
    expect(
      document.querySelectorAll("script, link[rel=stylesheet], img, iframe, object, embed, base, form, use"),
    ).toHaveLength(0);
    for (const element of document.querySelectorAll("*")) {
      for (const { name, value } of element.attributes) {
        expect(name).not.toMatch(/^on/);
        if (["src", "href", "xlink:href", "srcset", "style"].includes(name))
          expect(value).not.toMatch(/\/\/|url\(|@import/);
      }
    }
    expect(html.match(/<style>[\s\S]*?<\/style>/)![0]).not.toMatch(/url\(|@import|http/);
    expect(document.querySelector("meta[http-equiv=Content-Security-Policy]")!.getAttribute("content")).toMatch(
      /^default-src 'none'/,
    );
  });

  test("shows every variant in the table, in each picture of all variants and with its text", () => {
    const document = parsed(report(fixture()));
    const figures = [...document.querySelectorAll("figure")];
    for (const { spec } of fixture().variants) {
      expect([...document.querySelectorAll("tbody th")].map((cell) => cell.textContent)).toContain(spec);
      expect([...document.querySelectorAll("h3")].map((heading) => heading.textContent)).toContain(spec);
      for (const heading of ["Loss against cache", "Loss during training", "The same, minus MHA"]) {
        const figure = figures.find((each) => each.querySelector("h3")!.textContent === heading)!;
        expect(figure.querySelector("svg")!.textContent).toContain(spec);
      }
    }
  });

  test("gives every picture a name and a description, and every table a caption and headers", () => {
    const document = parsed(report(fixture()));
    const pictures = [...document.querySelectorAll("svg")];
    expect(pictures.length).toBe(2 * 5 + 5);
    for (const svg of pictures) {
      expect(svg.getAttribute("role")).toBe("img");
      expect(svg.querySelector("title")!.textContent).not.toBe("");
      expect(svg.querySelector("desc")!.textContent).not.toBe("");
    }
    for (const grid of document.querySelectorAll("table")) {
      expect(grid.querySelector("caption")!.textContent).not.toBe("");
      for (const row of grid.querySelectorAll("tbody tr")) expect(row.querySelector("th[scope=row]")).not.toBeNull();
      expect(grid.querySelector("thead th[scope=col]")).not.toBeNull();
    }
  });

  test("draws no coordinate that is not a number", () => {
    for (const result of [fixture(), oneSeed(), allDiverged()])
      expect(report(result)).not.toMatch(/NaN|Infinity|undefined/);
  });

  test("tells the command, every setting, version, machine fact, size and seed", () => {
    const result = fixture();
    const shown = parsed(report(result)).body.textContent!;
    for (const word of [
      result.command!,
      "learningRate",
      "0.001",
      "heldOut.share",
      "peak.gflops",
      "118.4",
      "8589934592",
      "13.6",
    ])
      expect(shown).toContain(word);
    for (const { seeds } of result.variants) for (const { loss } of seeds) expect(shown).toContain(loss!.toFixed(4));
  });

  test("escapes what models write and what users call things", () => {
    const result = fixture();
    const evil = `</pre><script>alert("1")</script><img src=x onerror='alert(2)'>`;
    result.variants[0]!.samples = [{ prompt: evil, text: evil }];
    result.variants[1]!.spec = evil;
    result.variants[1]!.decode[0]!.form = evil;
    result.command = evil;
    result.settings["<b>"] = evil;
    result.agreement![0]!.forms = [evil];
    const html = report(result);
    expect(html).not.toMatch(/<script|<img|<b>/i);
    const document = parsed(html);
    expect(document.querySelectorAll("script, img")).toHaveLength(0);
    expect(document.querySelector("pre")!.textContent).toBe(evil);
  });

  test("leaves out what was not measured instead of drawing it empty", () => {
    const result = oneSeed();
    delete result.agreement;
    for (const variant of result.variants) {
      [variant.prefill, variant.decode] = [[], []];
      delete variant.memory;
      delete variant.samples;
      for (const seed of variant.seeds) {
        delete seed.heldOut;
        delete seed.training;
      }
    }
    const headings = [...parsed(report(result)).querySelectorAll("h2")].map((heading) => heading.textContent);
    expect(headings).toEqual(["What this run cannot show", "The numbers", "Quality", "How this was made"]);
  });
});

describe("labels", () => {
  test("move apart to the gap asked for, keep their order, and stay inside where there is room", () => {
    const positions = fc.array(fc.double({ min: 0, max: 300, noNaN: true }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(positions, (wanted) => {
        const got = spread(wanted, 15, 0, 300);
        const order = wanted.map((_, index) => index).sort((a, b) => wanted[a]! - wanted[b]!);
        for (let rank = 1; rank < order.length; rank++)
          expect(got[order[rank]!]! - got[order[rank - 1]!]!).toBeGreaterThanOrEqual(15 - 1e-9);
        for (const position of got) {
          expect(position).toBeGreaterThanOrEqual(-1e-9);
          expect(position).toBeLessThanOrEqual(300 + 1e-9);
        }
      }),
    );
  });

  test("stay where they are if they are far enough apart", () => {
    expect(spread([10, 100, 50], 15, 0, 300)).toEqual([10, 100, 50]);
  });

  test("share the shift when they collide", () => {
    expect(spread([100, 100], 20, 0, 300)).toEqual([90, 110]);
  });

  test("beside points that stand together do not cover each other", () => {
    const point = (x: number) => ({ x, y: 100, box: { left: x - 5, right: x + 5, top: 60, bottom: 140 }, width: 70 });
    const places = place([point(200), point(215), point(230)], 15, { left: 0, right: 400, top: 0, bottom: 200 });
    const boxes = places.map(({ x, y, anchor }) => {
      const left = anchor === "start" ? x : anchor === "end" ? x - 70 : x - 35;
      return { left, right: left + 70, top: y - 7.5, bottom: y + 7.5 };
    });
    boxes.forEach((a, i) => {
      for (const b of boxes.slice(i + 1))
        expect(a.left >= b.right || b.left >= a.right || a.top >= b.bottom || b.top >= a.bottom).toBe(true);
    });
  });
});

describe("quantities", () => {
  test("have three digits and the unit that fits", () => {
    expect([0, 7, 999, 1000, 12_345, 999_600, 3_412_224, 9.39e12].map(compact)).toEqual([
      "0",
      "7",
      "999",
      "1.00k",
      "12.3k",
      "1.00M",
      "3.41M",
      "9.39T",
    ]);
    expect([0, 512, 1023, 2304, 4096, 134_217_728].map(bytes)).toEqual([
      "0 B",
      "512 B",
      "1023 B",
      "2.25 KiB",
      "4 KiB",
      "128 MiB",
    ]);
    expect([5, 200, 3900].map(duration)).toEqual(["5 s", "3 min 20 s", "1 h 05 min"]);
  });
});
