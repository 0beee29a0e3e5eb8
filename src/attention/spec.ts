import { type Rotation, rotation } from "../ops/rope/index.ts";
import { ShapeError } from "../tensor/error.ts";
import type { Sizes } from "./define.ts";
import type { Keeping } from "./keeping.ts";
import { type Attention, checkSizes, checkWindow } from "./layer.ts";
import { families, type Letter, letters, type Meaning, type Name, specHelp } from "./names.ts";

/** The model that a spec is read for, and how its numbers are meant. */
export interface SpecOptions {
  readonly width: number;
  readonly heads: number;
  /** `scaled` (unless given): dims in the spec are those at 128 = width / heads and shrink in proportion; `exact`: as written. */
  readonly dims?: "scaled" | "exact" | undefined;
  /** A further factor on the scaled dims; 1 unless given. */
  readonly scale?: number | undefined;
  /** Rotary base; 10000 unless given. */
  readonly base?: number | undefined;
  readonly layout?: Rotation["layout"] | undefined;
  /** Whether the spec is of a plan, which knows ways of keeping a cache that nothing here runs (-Pool4, -Owner2). */
  readonly planned?: boolean | undefined;
}

// Longest names first, so that GQLA is not read as GQA.
const known = Object.keys(families).sort((a, b) => b.length - a.length);
const grammar = new RegExp(
  `^(${known.join("|")})(\\d*)(?:-(\\d+|\\((\\d+)\\+(\\d+)\\)))?((?:-[A-Za-z]+\\d*)*)((?::[${letters}]\\d+)*)$`,
);

/**
 * Reads a variant's name as kexue.fm/archives/10907 writes it. `parseSpec("GQA2-(192+64)-S2", { width: 256, heads: 4 })`.
 * Sizes are the essay's (width 2048, 16 heads of 128) in proportion to width / heads. Throws ShapeError.
 */
export function parseSpec(spec: string, host: SpecOptions): Attention & { readonly spec: string } {
  const { width, heads } = host;
  if (width < 1 || heads < 1 || !Number.isInteger(width) || !Number.isInteger(heads))
    throw new ShapeError(`${spec}: got width ${width} and ${heads} heads, expected whole numbers from 1`);
  const { name, overrides, options } = takeApart(spec);
  const meaning = families[name.family]!.mean(name);
  const rank = (letter: "Q" | "O") => {
    const given = options.get(`${letter}LoRA`) ?? options.get("QOLoRA");
    if (given === undefined) return 0;
    for (const option of [`${letter}LoRA`, "QOLoRA"]) options.unread.delete(option);
    // DeepSeek's proportion for MLA; the essay's for the rest (its parameter counts give ranks of about width / 3).
    return given ? whole(given, host) : Math.round(((letter === "Q" && meaning.queryRank) || 1 / 3) * width);
  };
  const sizes: Partial<Record<Letter, number>> = {
    d: width,
    h: heads,
    g: meaning.g === "heads" ? heads : meaning.g,
    ...widths(meaning, host),
    q: name.family === "MFA" ? rank("Q") || Math.round(meaning.queryRank! * width) : rank("Q"),
    o: rank("O"),
    ...meaning.counts,
    // Half as many heads as the model's, as DeepSeek-V3.2 has.
    ...(meaning.dims.i && { j: Math.max(1, Math.round(heads / 2)) }),
  };
  const keeping = host.planned ? readKeeping(spec, options) : undefined;
  const window = options.get("W");
  if (window === 0) throw new ShapeError(`${spec}: got -W without a number, expected one; write -W256`);
  const still = options.get("NoPE") !== undefined;
  for (const option of ["W", "NoPE"]) options.unread.delete(option);
  const [stray] = options.unread;
  if (stray) throw unknown(spec, `-${stray} does not go with ${name.family}`);
  for (const [letter, size] of overrides) sizes[letter] = size;
  const set = new Set(overrides.map(([letter]) => letter));
  if (meaning.dims.v === "key" && !set.has("v")) sizes.v = sizes.n! + sizes.r!;
  if (meaning.dims.v === "shared" && !set.has("v")) sizes.v = sizes.n!;
  const z = {
    ...sizes,
    e: sizes.n! + sizes.r!,
    ...(meaning.features?.length && { with: Object.fromEntries(meaning.features.map((f) => [f, true])) }),
  } as Sizes;
  try {
    checkSizes(meaning.variant, z);
    checkWindow({ variant: meaning.variant, window });
  } catch (error) {
    throw error instanceof ShapeError ? new ShapeError(`${spec}: ${error.message}`) : error;
  }
  return {
    spec: spec.trim(),
    variant: meaning.variant,
    sizes: z,
    rotation: rotation(still ? 0 : z.r, host.base ?? 10000, host.layout ?? "interleaved"),
    window,
    keeping,
  };
}

/** How a layer keeps its cache, as options say: pooled by a ratio, its last tokens whole, in another layer. */
function readKeeping(spec: string, options: Options): Keeping | undefined {
  const names = {
    every: "Pool",
    indexEvery: "IndexPool",
    recent: "Recent",
    owner: "Owner",
    indexOwner: "IndexOwner",
  } as const;
  const said = Object.entries(names).flatMap(([key, option]) => {
    options.unread.delete(option);
    const number = options.get(option);
    if (number === 0 && !spec.includes(`-${option}0`))
      throw new ShapeError(`${spec}: got -${option} without a number, expected one; write -${option}4`);
    return number === undefined ? [] : [[key, number] as const];
  });
  return said.length ? Object.fromEntries(said) : undefined;
}

/** A size of the essay's at this host's. */
function whole(n: number, host: SpecOptions): number {
  return Math.max(1, Math.round(n * ratioOf(host)));
}

function ratioOf({ width, heads, dims, scale }: SpecOptions): number {
  return dims === "exact" ? 1 : (width / heads / 128) * (scale ?? 1);
}

/** The dims that shrink in proportion, rotary ones to even numbers. */
function widths({ dims }: Meaning, host: SpecOptions) {
  const even = (n: number) => Math.max(2, 2 * Math.round((n * ratioOf(host)) / 2));
  const or0 = (n: number | undefined, size: (n: number, host: SpecOptions) => number) => (n ? size(n, host) : 0);
  const [n, r] = [or0(dims.n, whole), or0(dims.r, even)];
  return {
    n,
    r,
    v: dims.v === "key" ? n + r : dims.v === "shared" ? n : whole(dims.v, host),
    c: or0(dims.c, whole),
    // An indexer's heads hold the rotary dims.
    ...(dims.i && { i: Math.max(r, whole(dims.i, host)) }),
  };
}

/** Options by name, with those that nothing has asked for yet. */
class Options extends Map<string, number> {
  readonly unread = new Set<string>();
}

function takeApart(spec: string): { name: Name; options: Options; overrides: [Letter, number][] } {
  const match = grammar.exec(spec.trim());
  if (!match) throw unknown(spec);
  const [, family = "", digits = "", dims, nope, roped, tail = "", letters = ""] = match;
  if (families[family]!.numbered !== (digits !== ""))
    throw unknown(spec, digits ? `${family} takes no number` : `${family} takes a number of groups: ${family}2`);
  const options = new Options();
  for (const part of tail.split("-").filter(Boolean)) {
    const [, option = part, number = ""] = /^(S[123]|[A-Za-z]+)(\d*)$/.exec(part) ?? [];
    if (number !== "" && Number(number) === 0 && !option.endsWith("Owner"))
      throw new ShapeError(`${spec}: got rank or size 0 in -${part}, expected at least 1; leave -${option} out`);
    options.set(option, Number(number));
    options.unread.add(option);
  }
  const given = [digits, ...(nope ? [nope, roped] : [dims])].filter((n) => n !== undefined && n !== "");
  if (given.some((n) => Number(n) === 0)) throw new ShapeError(`${spec}: got a size of 0, expected at least 1`);
  return {
    name: {
      family,
      number: Number(digits),
      single: dims && !nope ? Number(dims) : 0,
      nope: Number(nope ?? 0),
      roped: Number(roped ?? 0),
      option(option) {
        options.unread.delete(option);
        return options.get(option);
      },
    },
    options,
    overrides: letters
      .split(":")
      .filter(Boolean)
      .map((part) => [part[0] as Letter, Number(part.slice(1))]),
  };
}

function unknown(spec: string, why = "it is not the name of a variant"): ShapeError {
  const list = specHelp.map(([example]) => example).join("; ");
  return new ShapeError(`variant: got "${spec}" (${why}), expected a name like ${list}`);
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
