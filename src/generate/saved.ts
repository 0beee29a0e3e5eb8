import { createHash } from "node:crypto";
import type { Strip } from "../attention/cache.ts";
import { openSafetensors, writeSafetensors } from "../file/disk.ts";
import type { Values } from "../file/dtype.ts";
import { clip } from "../file/header.ts";
import type { TensorReader, TensorToWrite } from "../file/safetensors.ts";
import { FormatError } from "../tensor/error.ts";
import type { Session } from "./session.ts";

const FORMAT = "biform session 1";
/** Bytes of each weight that tell one model from another. */
const SAMPLE = 256;

/**
 * Writes a session's tokens and caches as safetensors: `tokens`, and of every layer its cached parts in the cache's own type (8-bit
 * ones with their scales beside them) and its state.
 */
export async function writeSession(path: string, session: Session): Promise<void> {
  const { length, caches, tokens } = session;
  const tensors: TensorToWrite[] = [{ name: "tokens", shape: [length], dtype: "I32", data: tokens }];
  caches.forEach((cache, i) => {
    for (const strip of cache.strips)
      tensors.push({
        name: `layers.${i}.${strip.name}`,
        shape: [length, ...strip.shape],
        dtype: strip.dtype,
        data: async () => numbersOf(await cache.bytesOf(strip), strip.dtype),
      });
    for (const [name, t] of Object.entries(cache.state))
      tensors.push({
        name: `layers.${i}.state.${name}`,
        shape: t.shape,
        dtype: stateDtype(session),
        data: () => t.read(),
      });
  });
  const metadata = { format: FORMAT, model: await fingerprint(session), cache: session.cache, length: String(length) };
  await writeSafetensors(path, tensors, metadata);
}

/** Fills an empty session from a file, and gives its tokens. Everything is checked before memory is taken. */
export async function readSession(path: string, session: Session): Promise<Int32Array> {
  const file = await openSafetensors(path);
  const { metadata } = file;
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
  const expected = new Set(["tokens"]);
  const expect = (name: string, dtype: Strip["dtype"], shape: readonly number[]) => {
    check(file, name, dtype, shape);
    expected.add(name);
  };
  session.caches.forEach((cache, i) => {
    for (const { name, dtype, shape } of cache.strips) expect(`layers.${i}.${name}`, dtype, [length, ...shape]);
    for (const [name, t] of Object.entries(cache.state))
      expect(`layers.${i}.state.${name}`, stateDtype(session), t.shape);
  });
  const odd = file.names.find((name) => !expected.has(name));
  if (odd !== undefined) throw new FormatError(`${path}: got a tensor ${clip(odd)}, expected none of this name`);
  const tokens = Int32Array.from(await file.read("tokens"));
  const bad = tokens.findIndex((id) => id < 0 || id >= session.model.vocabulary);
  if (bad >= 0)
    throw new FormatError(
      `${path}: tokens: element ${bad}: got ${tokens[bad]}, expected 0 to ${session.model.vocabulary - 1}`,
    );
  for (const cache of session.caches) cache.restore(length);
  for (const [i, cache] of session.caches.entries()) {
    for (const strip of cache.strips)
      cache.fill(strip, bytesOf(await file.read(`layers.${i}.${strip.name}`), strip.dtype));
    for (const [name, t] of Object.entries(cache.state)) t.write(await file.read(`layers.${i}.state.${name}`));
  }
  return tokens;
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
async function fingerprint({ model, weights }: Session): Promise<string> {
  const hash = createHash("sha256").update(JSON.stringify(model));
  for (const [name, t] of weights) {
    hash.update(`${name} ${t.shape}`);
    // Weights may lie packed: bytes tell them apart, however they are kept.
    const size = Math.min(SAMPLE / t.device.elementBytes, t.block.elements);
    hash.update(await t.device.download({ block: t.block, start: 0, size }));
  }
  return hash.digest("hex").slice(0, 32);
}
