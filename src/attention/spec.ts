import { type Rotation, rotation } from "../ops/rope/index.ts";
import { ShapeError } from "../tensor/error.ts";
import type { Sizes, Variant } from "./define.ts";
import { gqa } from "./gqa.ts";
import { type Attention, checkSizes } from "./layer.ts";
import { mla } from "./mla.ts";
import { s1 } from "./s1.ts";
import { s2 } from "./s2.ts";
import { s3 } from "./s3.ts";

/** The model a spec is read for. */
export interface Host {
  readonly width: number;
  readonly heads: number;
  /** `scaled` (unless given): dims in the spec are those at 128 = width / heads and shrink in proportion; `exact`: as written. */
  readonly dims?: "scaled" | "exact";
  /** A further factor on the scaled dims; 1 unless given. */
  readonly scale?: number;
  /** Rotary base; 10000 unless given. */
  readonly base?: number;
  readonly layout?: Rotation["layout"];
}

const grammar = /^(MHA|MQA|MLA|GQA(\d+))(?:-(\d+|\((\d+)\+(\d+)\)))?((?:-[A-Za-z][A-Za-z0-9]*)*)((?::[hgnrvcqo]\d+)*)$/;
const suffixes = /^(PR|S1|S2|S3|QLoRA|OLoRA|QOLoRA)(\d*)$/;

/** One line per kind of spec, for help texts and errors. */
export const specHelp: readonly (readonly [example: string, meaning: string])[] = [
  ["MHA, MQA, GQA2-128", "multi-head, multi-query, 2 groups of head dim 128 (MQA = GQA1)"],
  ["GQA1-256-PR", "partial RoPE: a quarter of the dims rotate; -PR64 says how many"],
  ["MLA, MLA-256", "latent attention: keys 128+64, values 128; or 192+64 and 256"],
  ["GQA2-(192+64)-S1", "K and V share the 192; each has 64 of its own"],
  ["GQA2-(192+64)-S2", "K = V completely; the output is rotated back"],
  ["GQA1-(512+64)-S3", "MLA's absorbed form, trained as it is"],
  ["...-QLoRA, -OLoRA, -QOLoRA", "low-rank query, output or both; a number sets the rank"],
  ["...:c96:r16", "sets a size by its letter (h g n r v c q o), unscaled"],
];

/**
 * Reads a variant's name as kexue.fm/archives/10907 writes it. `parseSpec("GQA2-(192+64)-S2", { width: 256, heads: 4 })`.
 * Sizes are the essay's (width 2048, 16 heads of 128) in proportion to width / heads. Throws ShapeError.
 */
export function parseSpec(spec: string, host: Host): Attention & { readonly spec: string } {
  const match = grammar.exec(spec.trim());
  if (!match) throw unknown(spec);
  const [, family = "", groups, single, nope, roped, tail = "", overrides = ""] = match;
  const options = new Map<string, string>();
  for (const part of tail.split("-").filter(Boolean)) {
    const option = suffixes.exec(part);
    if (!option) throw unknown(spec, `"${part}" is no option`);
    options.set(option[1]!, option[2]!);
  }
  if (host.width < 1 || host.heads < 1 || !Number.isInteger(host.width) || !Number.isInteger(host.heads))
    throw new ShapeError(`${spec}: got width ${host.width} and ${host.heads} heads, expected whole numbers from 1`);
  const ratio = host.dims === "exact" ? 1 : (host.width / host.heads / 128) * (host.scale ?? 1);
  const whole = (n: number) => Math.max(1, Math.round(n * ratio));
  const even = (n: number) => Math.max(2, 2 * Math.round((n * ratio) / 2));
  const given = { single: single && !nope ? Number(single) : 0, nope: Number(nope ?? 0), roped: Number(roped ?? 0) };
  // A size of zero asked for by name is an error, not a default.
  if (
    (single !== undefined && !nope && given.single === 0) ||
    groups === "0" ||
    (nope !== undefined && given.nope === 0)
  )
    throw new ShapeError(`${spec}: got a size of 0, expected at least 1`);
  const g = family === "MHA" ? host.heads : family === "MQA" ? 1 : Number(groups ?? 0);
  const [variant, dims] = family === "MLA" ? latentDims(given) : groupedDims(given, options);
  const lora = (name: string, fallback: number) => {
    const text = options.get(name) ?? options.get("QOLoRA");
    if (text === undefined) return 0;
    if (text !== "" && Number(text) === 0)
      throw new ShapeError(`${spec}: got rank 0, expected at least 1; leave -${name} out`);
    return text ? whole(Number(text)) : Math.round(fallback);
  };
  const n = dims.n ? whole(dims.n) : 0;
  const r = even(dims.r);
  const sizes: Record<string, number> = {
    d: host.width,
    h: host.heads,
    g: family === "MLA" ? 0 : g,
    n: dims.n && !dims.r ? whole(dims.n) : n,
    r: dims.r ? r : 0,
    v: dims.v === "key" ? n + r : dims.v === "shared" ? n : whole(dims.v),
    c: dims.c ? whole(dims.c) : 0,
    // DeepSeek's proportion for MLA; the essay's for the rest (its parameter counts give ranks of about width / 3).
    q: lora("QLoRA", family === "MLA" ? 0.75 * host.width : host.width / 3),
    o: lora("OLoRA", host.width / 3),
  };
  for (const part of overrides.split(":").filter(Boolean)) sizes[part[0]!] = Number(part.slice(1));
  if (overrides && dims.v === "key" && !/:v/.test(overrides)) sizes.v = sizes.n! + sizes.r!;
  if (overrides && dims.v === "shared" && !/:v/.test(overrides)) sizes.v = sizes.n!;
  sizes.e = sizes.n! + sizes.r!;
  const z = sizes as unknown as Sizes;
  try {
    checkSizes(variant, z);
  } catch (error) {
    throw error instanceof ShapeError ? new ShapeError(`${spec}: ${error.message}`) : error;
  }
  return {
    spec: spec.trim(),
    variant,
    sizes: z,
    rotation: rotation(z.r, host.base ?? 10000, host.layout ?? "interleaved"),
  };
}

interface Dims {
  readonly n: number;
  readonly r: number;
  readonly v: number | "key" | "shared";
  readonly c: number;
}
type Given = Readonly<Record<"single" | "nope" | "roped", number>>;

/** MLA's key is 128 + 64 beside a value of 128; MLA-256 keeps the 64 and widens both to 256 (family counts of 10907). */
function latentDims({ single, nope, roped }: Given): [Variant, Dims] {
  if (nope) return [mla, { n: nope, r: roped, v: nope, c: 512 }];
  if (single) return [mla, { n: single - 64, r: 64, v: single, c: 512 }];
  return [mla, { n: 128, r: 64, v: 128, c: 512 }];
}

function groupedDims({ single, nope, roped }: Given, options: ReadonlyMap<string, string>): [Variant, Dims] {
  const e = single || 128;
  const rotary = Number(options.get("PR") || e / 4);
  if (options.has("S3")) return [s3, { n: nope || 4 * e, r: roped || e / 2, v: "shared", c: 0 }];
  const split = { n: nope || e - rotary, r: roped || rotary, v: "key", c: 0 } as const;
  if (options.has("S2")) return [s2, split];
  if (options.has("S1")) return [s1, split];
  if (nope || options.has("PR")) return [gqa, split];
  return [gqa, { n: 0, r: e, v: "key", c: 0 }];
}

function unknown(spec: string, why = "it is not the name of a variant"): ShapeError {
  const known = specHelp.map(([example]) => example).join("; ");
  return new ShapeError(`variant: got "${spec}" (${why}), expected a name like ${known}`);
}

/** Splits a list of specs at commas outside square brackets; `[GQA2-128*3,MLA]` is one pattern of layers. */
export function splitSpecs(list: string): string[] {
  return list
    .split(/,(?![^[]*\])/)
    .map((s) => s.trim())
    .filter(Boolean);
}

/** The specs of `layers` layers: one for all, or a pattern such as `[GQA2-128*3,MLA]` repeated. Throws ShapeError. */
export function layerSpecs(pattern: string, layers: number): string[] {
  const inner = pattern.trim().replace(/^\[(.*)\]$/, "$1");
  const cycle = splitSpecs(inner).flatMap((part) => {
    const [spec = "", times = "1"] = part.split("*");
    if (!/^[1-9]\d?$/.test(times))
      throw new ShapeError(`pattern: got "${part}", expected SPEC or SPEC*TIMES, TIMES from 1 to 99`);
    return Array.from({ length: Number(times) }, () => spec.trim());
  });
  if (cycle.length === 0) throw unknown(pattern);
  return Array.from({ length: layers }, (_, i) => cycle[i % cycle.length]!);
}
