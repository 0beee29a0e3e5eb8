// Which result of a conversion becomes which architecture, by asking what chooses it: layers of random weights, converted by each method.
import { paramsOf, type Sizes, shapeOf } from "../../src/attention/define.ts";
import type { Attention } from "../../src/attention/layer.ts";
import { gqa } from "../../src/attention/variant/gqa.ts";
import { ranksByLayer } from "../../src/convert/budget.ts";
import { groupedLayer } from "../../src/convert/grouped.ts";
import { shareHeads } from "../../src/convert/latent.ts";
import { fillMatrix } from "../../src/convert/matrix.ts";
import { convertLayer, explainedBy, fullSizes, type Wanted } from "../../src/convert/method.ts";
import { chooseTarget, outlineOf } from "../../src/convert/target.ts";
import type { Model } from "../../src/model/model.ts";
import { rotation } from "../../src/ops/rope/index.ts";
import { Random } from "../../src/tensor/random.ts";
import { sizeOf } from "../../src/tensor/tensor.ts";

/** A source, and what is made of it. */
interface Case {
  readonly name: string;
  readonly heads?: number;
  readonly groups?: number;
  readonly bias?: "inputs" | "all";
  readonly feedBias?: boolean;
  /** Divides the slower half of the frequencies, as long contexts do. */
  readonly stretched?: boolean;
  /** The second layer stays as it is. */
  readonly hybrid?: boolean;
  readonly byLayer?: boolean;
  /** As GQLA, whose groups share what the latent unfolds to. */
  readonly shared?: boolean;
  /** Of each layer the ranks of pairs, which text finds. */
  readonly ranked?: boolean;
  readonly wanted?: Partial<Wanted>;
}

const small = { c: 12, r: 8 } as const;
const cases: readonly Case[] = [
  { name: "exactly, of one key head (MQA)", groups: 1 },
  { name: "exactly, of several (GQA, MHA)" },
  { name: "exactly, of several where heads do not divide the width", heads: 6 },
  { name: "exactly, of one whose frequencies are stretched (YaRN, Llama 3.1)", groups: 1, stretched: true },
  { name: "exactly, biases on queries, keys, values", bias: "inputs" },
  { name: "exactly, biases in feed-forward halves", feedBias: true },
  { name: "exactly, beside layers that stay as they are", hybrid: true },
  { name: "smaller, by `biform`", wanted: { method: "biform", ...small } },
  { name: "the same with `--biases`", wanted: { method: "biform", biases: true, ...small } },
  { name: "the same with `q`", wanted: { method: "biform", q: 8, ...small } },
  { name: "the same with `--by-layer`", wanted: { method: "biform", ...small }, byLayer: true },
  { name: "the same as GQLA", wanted: { method: "biform", ...small }, shared: true },
  { name: "smaller, by `transmla` or `care`", wanted: { method: "transmla", ...small } },
  { name: "smaller, by `mha2mla`", wanted: { method: "mha2mla", ...small } },
  {
    name: "the same with `--select 2-norm`",
    wanted: { method: "mha2mla", selection: "2-norm", ...small },
    ranked: true,
  },
];

const source = { rope_theta: 100 };

/** The architectures of a case, in a folder and in a GGUF file, and the lines of those before them. */
function targetsOf({
  heads: h = 4,
  groups: g = 2,
  bias,
  feedBias,
  stretched,
  hybrid,
  byLayer,
  shared,
  ranked,
  wanted: asked,
}: Case) {
  const [d, e] = [16, 8];
  const sizes: Sizes = { d, h, g, n: 0, r: e, e, v: e, c: 0, q: 0, o: 0, bias };
  const plain = rotation(e, source.rope_theta, "half");
  const turned = stretched
    ? { ...plain, frequencies: plain.frequencies.map((f, i) => (i < e / 4 ? f : f / 4)) }
    : plain;
  const attention: Attention = { variant: gqa, sizes, rotation: turned };
  const layer = { attention, feed: { kind: "dense" as const, f: 20, bias: feedBias } };
  const model: Model = { vocabulary: 11, width: d, layers: [layer, layer], tied: false, eps: 1e-5 };
  const random = new Random(7);
  const layers = model.layers.map(({ attention: { variant } }, i) => {
    const numbers = paramsOf(variant, sizes).map(([name, axes]) => {
      const spread = Float64Array.from(random.normals(sizeOf(shapeOf(axes, sizes)), 0.3));
      return [name, spread.map((x) => x * (1 + i))] as const;
    });
    return groupedLayer(`layer ${i}`, attention, new Map(numbers));
  });
  const given = {
    method: "exact",
    selection: "high",
    balance: 1,
    context: 64,
    biases: bias !== undefined,
    ...asked,
  } as const;
  const full = fullSizes(layers[0]!, given);
  const wanted: Wanted = { ...full, ...given };
  // All directions alike, about a mean.
  const about = fillMatrix(d + 1, d + 1, (i, j) => (i < d && j < d ? 0.25 : i === d && j === d ? 0 : 0.5));
  const moment = fillMatrix(d + 1, d + 1, (i, j) => about.values[i * (d + 1) + j]! + (i === j ? 1 : 0));
  const seen = layers.map((_, i) => ({
    inputs: { all: moment, read: moment, weight: 1, sharpness: new Float64Array(h).fill(1) },
    kept: [2, 1, 1, 0],
    ranks: ranked ? Int32Array.from({ length: (g * e) / 2 }, (_, at) => (at + i) % (e / 2)) : undefined,
  }));
  const spectra = layers.map((layer, i) => explainedBy(layer, wanted, seen[i]!)?.[0]?.spectrum.explained);
  const ranks = byLayer ? ranksByLayer(wanted, spectra as Float64Array[], [1, 9]) : undefined;
  const outlines = layers.map((layer, i) => {
    if (hybrid && i) return undefined;
    const made = convertLayer(layer, { ...wanted, c: ranks?.[i] ?? wanted.c }, seen[i]!);
    return outlineOf(shared ? shareHeads(made, g) : made);
  });
  return [false, true].map((gguf) => chooseTarget({ model, layers: outlines, source }, gguf));
}

/** Lines that would lie, those that say the same of several architectures once. */
function linesOf(refused: readonly string[]): string {
  const all = [...new Set(refused)].map(line);
  return [...Map.groupBy(all, ({ says }) => says)]
    .map(([says, of]) => `${[...new Set(of.map(({ architecture }) => `\`${architecture}\``))].join(", ")}: ${says}`)
    .join("; ");
}

/** The first words of what a config's line would say: its key, and what was got. */
const line = (refused: string) => {
  const [, architecture, key, rest] = /^(\w+): ([\w.]+): (.*)$/.exec(refused)!;
  return { architecture: architecture!, says: `\`${key}\` (${rest!.replace(/^got /, "").split(/, expected|;/)[0]})` };
};

/** A row for each result: what it becomes, and the lines that would lie in what it does not become. */
export function targetTable(): string {
  const rows = cases.map((one) => {
    const [folder, file] = targetsOf(one);
    const lines = linesOf([...folder!.refused, ...file!.refused]);
    const [there, alone] = [folder!, file!].map(({ architecture, gguf }) =>
      architecture === "biform"
        ? "Biform's own"
        : `\`${gguf && architecture !== "minicpm3" ? "deepseek2" : architecture}\``,
    );
    return `| ${one.name} | ${there} | ${alone} | ${lines || "none"} |`;
  });
  return ["| result | folder | GGUF file | lines that would lie |", "| --- | --- | --- | --- |", ...rows].join("\n");
}
