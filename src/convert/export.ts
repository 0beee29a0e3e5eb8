import { type Opened, openModel } from "../checkpoint/open.ts";
import { recast } from "../checkpoint/recast.ts";
import { byteFiles, tokenizerEntries } from "../checkpoint/words.ts";
import { biform, ownConfig } from "../family/biform.ts";
import type { Config } from "../family/config.ts";
import { findFamily } from "../family/families.ts";
import type { Sources } from "../family/source.ts";
import { bytesOf } from "../generate/beside.ts";
import { type Model, parametersOf } from "../model/model.ts";
import { FormatError } from "../tensor/error.ts";
import { formatJson } from "../tensor/json.ts";
import { entriesAlong, filesAlong } from "./beside.ts";
import { withHead } from "./checkpoint.ts";
import { nameOf, type WrittenType, writeCheckpoint } from "./files.ts";
import { configFor, type Exported, exported, lacking, tiesHead } from "./stock.ts";

/** What was written, and why each architecture before it would have computed something else. */
export interface Export {
  readonly architecture: Exported;
  readonly refused: readonly string[];
}

/**
 * Writes a model in Biform's own format, as training leaves it, as a stock architecture that computes exactly the same: a GGUF file
 * where `out` ends so, else a folder.
 *
 * Errors: FormatError naming, for each architecture, what it would have otherwise, where none or not the asked one is this model.
 */
export async function exportModel(
  path: string,
  out: string,
  { as, type = "F32" }: { readonly as?: Exported | undefined; readonly type?: WrittenType | undefined } = {},
): Promise<Export> {
  const opened = await openModel(path);
  if (opened.config.model_type !== "biform")
    throw new FormatError(
      `${path}: got ${formatJson(opened.config.model_type)}, expected a model in Biform's own format, as biform train writes it; others are stock already`,
    );
  const { model } = opened;
  const { architecture, config, refused } = stockOf(opened, out.endsWith(".gguf"), as && [as]);
  if (architecture !== undefined) {
    const { vocabulary } = model;
    // The tokenizer that a model was trained with lies beside it; one of bytes needs none, and the symbols of a task have none.
    const beside = await filesAlong(path, opened);
    const texts = !beside.length && bytesOf(opened.config, model) ? byteFiles(path) : undefined;
    await writeCheckpoint(out, type, {
      config,
      tensors: (written, targets) => exportedTensors(opened, written, targets),
      card: cardOf(path, architecture, opened.config),
      name: nameOf(path),
      files: async () =>
        texts
          ? [
              { name: "tokenizer.json", chunks: [texts.tokenizer] },
              { name: "tokenizer_config.json", chunks: [texts.config!] },
            ]
          : beside,
      tokenizer: async () => (texts ? tokenizerEntries(texts, vocabulary) : entriesAlong(path, opened)),
    });
    return { architecture, refused };
  }
  throw new FormatError(
    `${path}: got a model that ${as ? `${as} does not compute` : "no architecture of other engines computes"} (${refused.join("; ")}), ` +
      "expected one of grouped heads or MLA as they have it; Biform runs it as it is, and --as biform writes it as one file",
  );
}

/** The first architecture of other engines that is a model in Biform's own format, if any, and what each before it would have otherwise. */
export async function findStock(
  path: string,
): Promise<{ readonly architecture?: Exported | undefined; readonly refused: readonly string[] }> {
  const { architecture, refused } = stockOf(await openModel(path), false);
  return { architecture, refused };
}

function stockOf(
  opened: Opened,
  gguf: boolean,
  tried: readonly Exported[] = exported.filter((name) => name !== "biform"),
) {
  const refused: string[] = [];
  for (const architecture of tried) {
    const model = { ...opened.model, tied: opened.model.tied && tiesHead(architecture, gguf) };
    const config = configFor(architecture, { ...opened, model });
    const other = difference(plainly(model), plainly(findFamily(config).model(config))) ?? lacking(architecture, model);
    if (!other) return { architecture, config, refused };
    refused.push(`${architecture}: ${other}`);
  }
  return { architecture: undefined, config: {}, refused };
}

/** A model as plain data, but for what makes no difference: what is left to defaults, and how rotary pairs lie, since rows can move. */
function plainly(model: Model): unknown {
  const full = {
    ...model,
    layers: model.layers.map(({ attention, feed }) => {
      const { variant, sizes, rotation, scale, window } = attention;
      const z = { ...sizes, eps: sizes.eps ?? 1e-6 };
      return {
        attention: {
          variant,
          sizes: z,
          rotation: { ...rotation, layout: "half" as const },
          scale: scale ?? variant.scale(sizes),
          window,
        },
        feed: feed.kind === "dense" ? { kind: feed.kind, f: feed.f, bias: feed.bias === true } : feed,
      };
    }),
  };
  const { layers: _, ...others } = biform.read(JSON.parse(JSON.stringify(ownConfig(full as Model))));
  const said = full.layers.map(({ attention: { variant, rotation, ...rest }, feed }) => ({
    variant: variant.name,
    ...rest,
    frequencies: Array.from(rotation.frequencies),
    magnitude: rotation.magnitude,
    beyond: rotation.beyond,
    feed,
  }));
  return { ...others, layers: said };
}

/** The first place in which two models differ by more than rounding, in words. */
function difference(a: unknown, b: unknown, at = ""): string | undefined {
  if (a === b || (typeof a === "number" && typeof b === "number" && Math.abs(a - b) <= 1e-12 * Math.abs(a)))
    return undefined;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null)
    return `${at.slice(1)} got ${formatJson(a) ?? "nothing"}, which would be ${formatJson(b) ?? "nothing"}`;
  const [ours, theirs] = [a, b] as [Record<string, unknown>, Record<string, unknown>];
  for (const key of new Set([...Object.keys(ours), ...Object.keys(theirs)])) {
    const found = difference(ours[key], theirs[key], `${at}.${key}`);
    if (found) return found;
  }
  return undefined;
}

/** A model's tensors where another family has them, turned rows in its order of pairs. */
function exportedTensors({ tensors, sources, model }: Opened, written: Model, targets: Sources) {
  const turned = new Map<string, number>();
  for (const [i, { attention }] of model.layers.entries()) {
    const [from, to] = [attention.rotation.layout, written.layers[i]!.attention.rotation.layout];
    if (from === to) continue;
    if (from !== "interleaved") throw new FormatError(`layers.${i}: got rotary pairs as halves, expected neighbours`);
    for (const name of ["wQ", "bQ", "wK", "bK", "gQH", "gKH"])
      turned.set(`layers.${i}.attention.${name}`, attention.sizes.e);
  }
  const read = async (name: string) => {
    const values = Float32Array.from(await tensors.read(name));
    const e = turned.get(name);
    if (e === undefined) return values;
    return values.map((_, at) => {
      const i = at % e;
      return values[at - i + (i < e / 2 ? 2 * i : 2 * i - e + 1)]!;
    });
  };
  return recast(parametersOf(written), withHead(sources), targets, read);
}

/** What an export of a model says that has learnt a task. */
const SYMBOLS = "Its ids are the symbols of a task and not of a text, so it has no tokenizer.";

function cardOf(path: string, architecture: Exported, config: Config): string {
  const name = nameOf(path);
  const pattern = typeof config.attention === "string" ? ` (attention ${config.attention})` : "";
  const about =
    architecture === "biform"
      ? "It is Biform's own format, which other engines refuse by its name."
      : `It is \`${architecture}\`, which computes exactly this model: every size, frequency, epsilon and scale was compared.`;
  return `---
tags: [biform]
---

# ${name}

Trained by Biform${pattern} and written by \`biform export\`. ${about}${config.ids === "symbols" ? ` ${SYMBOLS}` : ""}
`;
}
