import { z } from "zod";
import type { Strip } from "../attention/cache.ts";
import type { Parts } from "../attention/define.ts";
import { openSafetensors, writeSafetensors } from "../file/disk.ts";
import type { Values } from "../file/dtype.ts";
import { clip } from "../file/header.ts";
import { decodeSafetensors, safetensorsChunks, type TensorReader, type TensorToWrite } from "../file/safetensors.ts";
import { FormatError } from "../tensor/error.ts";
import type { Session } from "./session.ts";
import type { Change } from "./steps.ts";

const FORMAT = "biform session 1";
/** Bytes of each weight that tell one model from another. */
const SAMPLE = 256;

/** What a session with states knows of its past: where each run of tokens ended and how they ran, and the states after some of them. */
export interface Past {
  readonly ends: Int32Array;
  readonly changes: readonly Change[];
  readonly snapshot: { readonly length: number; readonly states: readonly Parts[] } | undefined;
}

/**
 * Writes a session's tokens and caches as safetensors: `tokens`, and of every layer its cached parts in the cache's own type (8-bit
 * ones with their scales beside them) and its state. Where there are states, `ends` and `manners` say how the tokens were run, and the last
 * snapshot before the newest token stands beside them, so that a session that goes on can go back as well.
 */
export async function writeSession(path: string, session: Session): Promise<void> {
  const { tensors, metadata } = await describe(session);
  await writeSafetensors(path, tensors, metadata);
}

/** The same in memory, for a page, which has no files of its own. */
export async function encodeSession(session: Session): Promise<Uint8Array<ArrayBuffer>> {
  const { tensors, metadata } = await describe(session);
  const pieces: BlobPart[] = [];
  for await (const piece of safetensorsChunks("session", tensors, metadata))
    pieces.push(piece as Uint8Array<ArrayBuffer>);
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

async function describe(session: Session) {
  const { length, caches, tokens, past } = session;
  const tensors: TensorToWrite[] = [{ name: "tokens", shape: [length], dtype: "I32", data: tokens }];
  caches.forEach((cache, i) => {
    for (const strip of cache.strips)
      tensors.push({
        name: `layers.${i}.${strip.name}`,
        shape: [length, ...strip.shape],
        dtype: strip.dtype,
        data: async () => numbersOf(await cache.bytesOf(strip), strip.dtype),
      });
    for (const [kind, parts] of [
      ["state", cache.state],
      ["snapshot", past?.snapshot?.states[i] ?? {}],
    ] as const)
      for (const [name, t] of Object.entries(parts))
        tensors.push({
          name: `layers.${i}.${kind}.${name}`,
          shape: t.shape,
          dtype: stateDtype(session),
          data: () => t.read(),
        });
  });
  if (past) tensors.push({ name: "ends", shape: [past.ends.length], dtype: "I32", data: past.ends });
  const metadata = {
    format: FORMAT,
    model: await fingerprint(session),
    cache: session.cache,
    length: String(length),
    ...(past?.changes.length && { manners: JSON.stringify(past.changes) }),
    ...(past?.snapshot && { snapshot: String(past.snapshot.length) }),
  };
  return { tensors, metadata };
}

/** A saved session: the path of its file, or its bytes. */
export type Saved = string | Uint8Array;

/** What a file says but for its caches: the tokens, and how many of them its snapshot is of. */
export interface Outline {
  readonly file: TensorReader;
  readonly tokens: Int32Array;
  readonly before: number | undefined;
}

/** Reads what a file is of. Throws FormatError where it is damaged, or of another model or cache type than the session. */
export async function outlineSession(saved: Saved, session: Session): Promise<Outline> {
  const file = await (typeof saved === "string" ? openSafetensors(saved) : decodeSafetensors(saved, "session"));
  const { file: path, metadata } = file;
  if (metadata.format !== FORMAT)
    throw new FormatError(
      `${path}: format: got ${said(metadata.format)}, expected "${FORMAT}"; is it a saved session?`,
    );
  if (metadata.cache !== session.cache)
    throw new FormatError(
      `${path}: cache: got ${said(metadata.cache)}, expected "${session.cache}"; open the session with the cache it was saved with`,
    );
  const own = await fingerprint(session);
  if (metadata.model !== own)
    throw new FormatError(
      `${path}: model: got ${said(metadata.model)}, expected "${own}"; it was saved by another model, or with other weights`,
    );
  const length = check(file, "tokens", "I32").shape[0] ?? 0;
  check(file, "tokens", "I32", [length]);
  if (metadata.length !== String(length))
    throw new FormatError(
      `${path}: length: got ${said(metadata.length)}, expected the ${length} tokens that are there`,
    );
  const tokens = Int32Array.from(await file.read("tokens"));
  const bad = tokens.findIndex((id) => id < 0 || id >= session.model.vocabulary);
  if (bad >= 0)
    throw new FormatError(
      `${path}: tokens: element ${bad}: got ${tokens[bad]}, expected 0 to ${session.model.vocabulary - 1}`,
    );
  return { file, tokens, before: snapshotLength(file, length) };
}

/** Fills an empty session from a file, and gives its tokens and its past. Everything is checked before memory is taken. */
export async function readSession(saved: Saved, session: Session): Promise<Past & { readonly tokens: Int32Array }> {
  const { file, tokens, before } = await outlineSession(saved, session);
  const { length } = tokens;
  const expected = new Set(["tokens"]);
  const expect = (name: string, dtype: Strip["dtype"], shape: readonly number[]) => {
    check(file, name, dtype, shape);
    expected.add(name);
  };
  session.caches.forEach((cache, i) => {
    for (const { name, dtype, shape } of cache.strips) expect(`layers.${i}.${name}`, dtype, [length, ...shape]);
    for (const [name, t] of Object.entries(cache.state))
      for (const kind of before === undefined ? ["state"] : ["state", "snapshot"])
        expect(`layers.${i}.${kind}.${name}`, stateDtype(session), t.shape);
  });
  const stateful = session.caches.some(({ state }) => Object.keys(state).length);
  if (stateful && file.has("ends")) expected.add("ends");
  const odd = file.names.find((name) => !expected.has(name));
  if (odd !== undefined) throw new FormatError(`${file.file}: got a tensor ${clip(odd)}, expected none of this name`);
  const ends = expected.has("ends") ? await readEnds(file, length) : new Int32Array();
  const changes = readManners(file, ends.length);
  for (const cache of session.caches) cache.restore(length);
  for (const [i, cache] of session.caches.entries()) {
    for (const strip of cache.strips)
      cache.fill(strip, bytesOf(await file.read(`layers.${i}.${strip.name}`), strip.dtype));
    for (const [name, t] of Object.entries(cache.state)) t.write(await file.read(`layers.${i}.state.${name}`));
  }
  if (before === undefined) return { tokens, ends, changes, snapshot: undefined };
  return { tokens, ends, changes, snapshot: { length: before, states: await readStates(file, session) } };
}

/** The states of a file's snapshot. */
async function readStates(file: TensorReader, { caches }: Session): Promise<Parts[]> {
  const states: Parts[] = [];
  try {
    for (const cache of caches) states.push(cache.snapshot());
    for (const [i, parts] of states.entries())
      for (const [name, t] of Object.entries(parts)) t.write(await file.read(`layers.${i}.snapshot.${name}`));
    return states;
  } catch (error) {
    for (const parts of states) for (const t of Object.values(parts)) t.free();
    throw error;
  }
}

/** How many tokens a file's snapshot is of, where it has one. Throws FormatError. */
function snapshotLength({ file, metadata }: TensorReader, length: number): number | undefined {
  if (metadata.snapshot === undefined) return undefined;
  const before = Number(metadata.snapshot);
  if (!(Number.isInteger(before) && before > 0 && before < length))
    throw new FormatError(
      `${file}: snapshot: got ${said(metadata.snapshot)}, expected a number from 1 to ${length - 1}`,
    );
  return before;
}

/** Where the runs of a file's tokens ended. Throws FormatError. */
async function readEnds(file: TensorReader, length: number): Promise<Int32Array> {
  const { shape } = check(file, "ends", "I32");
  const count = shape[0] ?? 0;
  const subject = `${file.file}: ends`;
  if (shape.length !== 1 || count > length)
    throw new FormatError(`${subject}: got [${shape}], expected at most one for each of ${length} tokens`);
  const ends = Int32Array.from(await file.read("ends"));
  const bad = ends.findIndex((end, i) => end <= (ends[i - 1] ?? 0) || end > length);
  if (bad >= 0 || (length > 0 && ends.at(-1) !== length))
    throw new FormatError(
      `${subject}: got ${ends[Math.max(bad, 0)] ?? "none"}, expected numbers that rise to the ${length} tokens that are there`,
    );
  return ends;
}

const manners = z.array(
  z.strictObject({ from: z.int().nonnegative(), form: z.string().max(80).optional(), exact: z.boolean().optional() }),
);

/** How so many runs of a file's tokens went; nothing where it says nothing, as files of before did. Throws FormatError. */
function readManners({ file, metadata }: TensorReader, runs: number): readonly Change[] {
  if (metadata.manners === undefined) return [];
  const changes = manners.safeParse(parsed(metadata.manners)).data;
  if (!changes?.every(({ from }, i) => from < runs && from > (changes[i - 1]?.from ?? -1)))
    throw new FormatError(`${file}: manners: got ${said(metadata.manners)}, expected how each of ${runs} runs went`);
  return changes;
}

/** JSON as what it says; undefined for what is none. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const said = (value: string | undefined) => (value === undefined ? "nothing" : clip(value));
const stateDtype = ({ device }: Session) => (device.elementBytes === 8 ? "F64" : "F32");

/** Throws FormatError where a tensor is missing or not what is expected. */
function check(file: TensorReader, name: string, dtype: Strip["dtype"] | "I32", shape?: readonly number[]) {
  const entry = file.entry(name);
  if (entry.dtype !== dtype || (shape && `${entry.shape}` !== `${shape}`))
    throw new FormatError(
      `${file.file}: ${clip(name)}: got ${entry.dtype} [${entry.shape}], expected ${dtype} [${shape ?? "tokens"}]`,
    );
  return entry;
}

/** Bytes as they lie on pages, as the numbers that a file takes. */
function numbersOf({ buffer }: Uint8Array<ArrayBuffer>, dtype: Strip["dtype"]): Values {
  if (dtype === "F64") return new Float64Array(buffer);
  if (dtype === "F32") return new Float32Array(buffer);
  if (dtype === "I8") return new Int8Array(buffer);
  return new Float32Array(Uint32Array.from(new Uint16Array(buffer), (half) => half << 16).buffer);
}

/** The way back. */
function bytesOf(values: Values, dtype: Strip["dtype"]): Uint8Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, dtype === "BF16" ? values.length : 0);
  const own = dtype === "BF16" ? Uint16Array.from(bits, (word) => word >>> 16) : values;
  return new Uint8Array(own.buffer, own.byteOffset, own.byteLength);
}

/** What tells a model with its weights from others: its description, and the first bytes of every weight as they lie in memory. */
export async function fingerprint({ model, weights }: Session): Promise<string> {
  const text = (of: string) => new TextEncoder().encode(of);
  const pieces = [text(JSON.stringify(model))];
  for (const [name, t] of weights) {
    pieces.push(text(`${name} ${t.shape}`));
    // Weights may lie packed: bytes tell them apart, however they are kept.
    const size = Math.min(SAMPLE / t.device.elementBytes, t.block.elements);
    pieces.push(await t.device.download({ block: t.block, start: 0, size }));
  }
  // Where Node and pages have the same one; a page has it over https, and from a disk.
  const hash = await crypto.subtle.digest("SHA-256", await new Blob(pieces).arrayBuffer());
  return Array.from(new Uint8Array(hash, 0, 16), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
