import type { Feature, Sizes, Variant } from "./define.ts";
import { deltaNet } from "./variant/deltanet.ts";
import { dsa } from "./variant/dsa.ts";
import { mlaFox } from "./variant/forget.ts";
import { fox } from "./variant/fox.ts";
import { gdn } from "./variant/gdn.ts";
import { gla } from "./variant/gla.ts";
import { gqa } from "./variant/gqa.ts";
import { gqla } from "./variant/gqla.ts";
import { gta } from "./variant/gta.ts";
import { kda } from "./variant/kda.ts";
import { kr } from "./variant/kr.ts";
import { mla } from "./variant/mla.ts";
import { s1 } from "./variant/s1.ts";
import { s2 } from "./variant/s2.ts";
import { s3 } from "./variant/s3.ts";
import { mlaStick, stick } from "./variant/stick.ts";
import { tpa } from "./variant/tpa.ts";

/** A spec taken apart: `GQA2-(192+64)-S2` is family GQA, number 2, dims 192 and 64, option S2. */
export interface Name {
  readonly family: string;
  readonly number: number;
  /** `-256`, or `-(192+64)`; 0 where not given. */
  readonly single: number;
  readonly nope: number;
  readonly roped: number;
  /** Number behind an option's name, undefined where the option is absent and 0 where it has none. */
  option(name: string): number | undefined;
}

/**
 * What a name stands for at the essay's size (width 2048, 16 heads of 128). Dims shrink with the heads' width; `counts` do not.
 * v: "key" is as wide as the key, "shared" as its part without position. q: share of the width that -QLoRA takes.
 */
export interface Meaning {
  readonly variant: Variant;
  readonly g: number | "heads";
  readonly dims: { readonly n: number; readonly r: number; readonly v: number | "key" | "shared" } & Readonly<
    Partial<Record<"c" | "i", number>>
  >;
  readonly counts?: Readonly<Partial<Record<"q" | "k" | "l" | "w" | "j" | "m", number>>>;
  readonly queryRank?: number;
  readonly features?: readonly Feature[];
}

/** Families by the start of their names: whether a number of groups follows, and what the rest means. */
export const families: Readonly<Record<string, { readonly numbered: boolean; mean(name: Name): Meaning }>> = {
  MHA: { numbered: false, mean: (name) => grouped(name, "heads") },
  MQA: { numbered: false, mean: (name) => grouped(name, 1) },
  GQA: { numbered: true, mean: (name) => grouped(name, name.number) },
  MFA: { numbered: false, mean: factorized },
  MLA: { numbered: false, mean: latent },
  GQLA: { numbered: true, mean: (name) => ({ ...latent(name), variant: gqla, g: name.number }) },
  GLA: {
    numbered: true,
    mean: (name) => {
      const { dims, ...rest } = latent(name);
      return { ...rest, variant: gla, g: name.number, dims: { ...dims, c: 256 }, queryRank: 1 / 2 };
    },
  },
  GTA: { numbered: true, mean: tied },
  TPA: { numbered: false, mean: factors },
  KDA: { numbered: false, mean: (name) => linear(name, kda, 128) },
  GDN: { numbered: false, mean: (name) => linear(name, gdn, 0) },
  DeltaNet: { numbered: false, mean: (name) => linear(name, deltaNet, 0) },
};

/** One line per kind of spec, for help texts and errors. */
export const specHelp: readonly (readonly [example: string, meaning: string])[] = [
  ["MHA, MQA, GQA2-128", "multi-head, multi-query, 2 groups of head dim 128 (MQA = GQA1)"],
  ["GQA1-256-PR", "partial RoPE: a quarter of the dims rotate; -PR64 says how many"],
  ["MLA, MLA-256", "latent attention: keys 128+64, values 128; or 192+64 and 256"],
  ["MLA-DSA512", "each query attends to the 512 tokens that an indexer chooses"],
  ["GQA2-(192+64)-S1", "K and V share the 192; each has 64 of its own"],
  ["GQA2-(192+64)-S2", "K = V completely; the output is rotated back"],
  ["GQA1-(512+64)-S3", "MLA's absorbed form, trained as it is"],
  ["MFA, MFA-PR, MFA-S2, MFA-KR", "one wide key and value head, low-rank queries; -KR: values from keys"],
  ["TPA, TPA-KV", "tensor products: factors for query, key and value, or for key and value alone"],
  ["GLA2, GTA4, GQLA4", "2 latents; 4 tied groups; MLA with up-projections for 4 groups"],
  ["GQA2-128-FoX, MLA-FoX", "forget gates instead of RoPE; -FoXPro: shifts, norms and an output gate"],
  ["GQA2-128-SBA, MLA-SBA", "stick-breaking instead of softmax and RoPE"],
  ["KDA, GDN, DeltaNet", "linear attention with a state of fixed size"],
  ["...-QLoRA, -OLoRA, -QOLoRA", "low-rank query, output or both; a number sets the rank"],
  ["...-NoPE, -W256", "no rotation; a window of 256 tokens"],
  ["...-QKNorm, -Norm, -Sink", "norms per head; on a K = V entry; a sink logit per head"],
  ["...:c96:r16", "sets a size by its letter (h g n r v c q o b k l w i j m), unscaled"],
  [
    "...-Pool4-Recent128, -IndexPool4",
    "in plans: entries or index keys that stand for 4 tokens, the last tokens whole",
  ],
  ["...-Owner2, -IndexOwner2", "in plans: reads the cache or the index keys of layer 2, the third"],
  ["[KDA*3,MLA]", "a pattern of layers, repeated"],
];

function grouped(name: Name, g: number | "heads"): Meaning {
  const e = name.single || 128;
  if (name.option("S3") !== undefined)
    return { variant: s3, g, dims: { n: name.nope || 4 * e, r: name.roped || e / 2, v: "shared" } };
  const fades = name.option("FoX") !== undefined || name.option("FoXPro") !== undefined;
  const breaks = name.option("SBA") !== undefined;
  const turned = (name.option("PR") ?? 0) || name.roped || e / 4;
  const split = { n: name.nope || e - turned, r: turned, v: "key" } as const;
  if (name.option("S2") !== undefined) {
    const features = named(name, { Norm: "entryNorm", Sink: "sinks" });
    return { variant: s2, g, dims: split, features };
  }
  if (name.option("S1") !== undefined) return { variant: s1, g, dims: split };
  const partial = name.nope || name.option("PR") !== undefined;
  const whole = name.nope ? name.nope + name.roped : e;
  const dims = partial ? split : { n: 0, r: e, v: "key" as const };
  // Without rotation all dims are alike.
  const plain = { n: whole, r: 0, v: "key" as const };
  if (fades) {
    const pro: Feature[] = ["keyShift", "valueShift", "qkNorm", "outputNorm", "outputGate"];
    return { variant: fox, g, dims: plain, features: name.option("FoXPro") !== undefined ? pro : [] };
  }
  const normed = named(name, { QKNorm: "qkNorm", ...(breaks && { Current: "current" as const }) });
  if (breaks) return { variant: stick, g, dims: plain, features: normed };
  return { variant: gqa, g, dims: name.option("NoPE") !== undefined ? plain : dims, features: normed };
}

function factorized(name: Name): Meaning {
  const wide: Name = { ...name, single: name.single || 256 };
  const reused = name.option("KR") !== undefined;
  const meaning = grouped(wide, 1);
  // The rank's share of the width is Step-3's, 2048 of 7168.
  return { ...meaning, ...(reused && { variant: kr }), queryRank: 2 / 7 };
}

function latent(name: Name): Meaning {
  const [n, r, v] = name.nope
    ? [name.nope, name.roped, name.nope]
    : name.single
      ? [name.single - 64, 64, name.single]
      : [128, 64, 128];
  const still = { n: n + r, r: 0, v, c: 512 };
  const queryRank = 3 / 4;
  const g = 0;
  if (name.option("FoX") !== undefined) return { variant: mlaFox, g, dims: still, queryRank };
  if (name.option("SBA") !== undefined)
    return { variant: mlaStick, g, dims: still, queryRank, features: named(name, { Current: "current" }) };
  const m = name.option("DSA");
  if (m !== undefined)
    return { variant: dsa, g, dims: { n, r, v, c: 512, i: 128 }, counts: { m: m || 2048 }, queryRank };
  name.option("NoPE");
  const features = named(name, {
    QKNorm: "qkNorm",
    OutputGate: "outputGate",
    HeadGate: "headGate",
    PlainLatent: "plainLatent",
    QueryBias: "queryBias",
  });
  return { variant: mla, g, dims: { n, r, v, c: 512 }, queryRank, features };
}

function tied(name: Name): Meaning {
  const e = name.single || 128;
  return { variant: gta, g: name.number, dims: { n: name.nope || e / 2, r: name.roped || e / 2, v: "key" } };
}

function factors(name: Name): Meaning {
  const e = name.single || 128;
  const turned = name.option("PR");
  const r = turned === undefined ? e : turned || e / 4;
  const fixed = name.option("FixedB") !== undefined;
  const alone = name.option("KV") !== undefined;
  return {
    variant: tpa,
    g: 0,
    dims: fixed || name.option("NoPE") !== undefined ? { n: e, r: 0, v: e } : { n: e - r, r, v: e },
    counts: { q: alone ? 0 : 6, k: 2, l: 2 },
    features: named(name, { FixedA: "fixedA", FixedB: "fixedB", Norm: "outputNorm" }),
  };
}

function linear(name: Name, variant: Variant, c: number): Meaning {
  const n = name.single || 128;
  const features = named(name, {
    ConvBias: "convBias",
    Doubled: "doubled",
    BoundedDecay: "boundedDecay",
    PlainGate: "plainGate",
  });
  return { variant, g: "heads", dims: { n, r: 0, v: n, c }, counts: { w: 4 }, features };
}

/** The features whose options a name has. */
function named(name: Name, options: Readonly<Record<string, Feature>>): Feature[] {
  return Object.entries(options).flatMap(([option, feature]) => (name.option(option) === undefined ? [] : [feature]));
}

/** Letters a spec may set behind a colon. */
export const letters = "hgnrvcqobklwijm";
export type Letter = Exclude<keyof Sizes, "bias" | "eps" | "floor" | "with">;
