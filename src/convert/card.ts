import type { Price } from "./convert.ts";
import { latentsOf, spareOf } from "./method.ts";
import type { Target } from "./target.ts";

/** Ranks that a table shows: eighths of the whole. */
export function shownRanks(full: number): number[] {
  return Array.from({ length: 8 }, (_, i) => Math.max(1, Math.round(((i + 1) * full) / 8)));
}

/** What a token leaves in a layer, in words. */
export function sizesText(wanted: Price["wanted"]): string {
  const { c, r } = wanted;
  const latents = latentsOf(wanted);
  return `${latents > 1 ? `${latents} latents of ${c}` : `latent ${c}`}, turned key ${r}`;
}

/** How each method works, in a sentence, with its source. */
const about = {
  exact:
    "the same function: keys and values as they were, written as one latent and one shared turned key (kexue.fm/archives/11111)",
  biform:
    "of each rotary frequency the components that matter most to scores stay turned, all others are met by the mean rotation; the latent is the subspace that changes the layer's output least, about the mean of text",
  mha2mla:
    "MHA2MLA (arXiv 2502.14837): some rotary pairs of each key head kept, the rest and the values by a joint SVD of weights",
  merge:
    "GQA by merging: each group's keys and values are the means of those of several (arXiv 2305.13245), written as one latent and one shared turned key",
  care: "CARE (arXiv 2603.17946): positions gathered as TransMLA does, the latent by the singular values of what it unfolds to, weighed by the covariance of text",
  "care-sequential":
    "CARE (arXiv 2603.17946) as its authors' code goes: the same, layer after layer, each by the covariance that text has behind the layers converted before it",
  "care-separate":
    "CARE (arXiv 2603.17946): positions gathered as TransMLA does, keys and values each with half of the latent to themselves, by the singular values of what each unfolds to, weighed by the covariance of text",
  transmla:
    "TransMLA (arXiv 2502.07864): positions gathered by principal components, the latent by balanced components on text",
} as const;

/** What each target is, and which engines compute it. */
function aboutTarget({ architecture, still, refused }: Target): string {
  const tried = refused.map((reason) => `\n- ${reason}`).join("");
  const before = tried && `\n\nWhat was tried before it would compute something else:\n${tried}`;
  if (architecture === "biform")
    return `It is Biform's own format, since no architecture of other engines computes it; they refuse its name. \`biform run\`, \`chat\`, \`serve\` and \`plan\` open it.${before}`;
  const held =
    still === "shrunk"
      ? `Its latent is normed as that architecture asks, and the model that it came from has no such norm: the latent is so small that the norm divides by its epsilon alone, the same number for every token, and its gains multiply that back. All norms have one epsilon, so that engines agree that read it in different places. Run it in float32 or bfloat16: in float16 what is so small is lost.`
      : `Its latent is normed as that architecture asks, and the model that it came from has no such norm: one number of each latent is a constant (a bias of \`kv_a_proj_with_mqa\`, hence \`attention_bias\`), beside which all others are small, so that the norm divides by a constant; its gain is 0, and caches hold a 0 for it. vLLM (0.33) and llama.cpp have no biases in such layers.`;
  const read = {
    deepseek_v3: "",
    minicpm3:
      " vLLM and llama.cpp keep whole keys and values for this architecture, transformers and Biform the latent.",
    youtu:
      " transformers and Biform compute exactly this; vLLM (0.33) has no class for it and takes transformers' own code.",
  }[architecture];
  return `It is \`${architecture}\` with all layers dense. ${held}${read}${before}`;
}

/** A chapter that is added to a card once what is written has been run. */
export const chapterOf = (title: string, text: string): string => `\n## ${title}\n\n${text}\n`;

/** The README.md of a converted checkpoint: how it was made, what it costs, and what reads it. */
export function card(path: string, { wanted, layers, before, after, depth, notes }: Price, target: Target): string {
  const { c, method, variant = "MLA" } = wanted;
  const lost = layers.map((layer) => layer.lost[Math.min(c - spareOf(wanted), layer.lost.length - 1)]!);
  const percent = (x: number) => `${(100 * x).toFixed(2)} %`;
  const worst = lost.indexOf(Math.max(...lost));
  const mean = lost.reduce((sum, x) => sum + x, 0) / lost.length;
  const share =
    method === "biform"
      ? "share of what the latent's loss can change of the output"
      : "share of keys' and values' squared length left out";
  const name = path.split("/").at(-1);
  return `---
${target.architecture === "biform" ? "" : "library_name: transformers\n"}tags: [${variant.toLowerCase()}, biform]
---

# ${name} as ${variant}

Made by \`biform convert\` from ${name}: ${about[method]}.

| | before | after |
| --- | --- | --- |
| cache, numbers per token and layer | ${before} | ${after} (${sizesText(wanted)}) |
| cache, bytes per token at 16 bits | ${2 * before * depth} | ${2 * after * depth} |
| ${share}, mean of layers | 0 | ${percent(mean)} |
| the same, layer ${layers[worst]!.layer}, the most | 0 | ${percent(lost[worst]!)} |

${aboutTarget(target)}
${notes.map((note) => `\nNote: ${note}.\n`).join("")}`;
}
