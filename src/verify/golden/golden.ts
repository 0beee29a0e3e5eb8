import { readdir, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { z } from "zod";
import { ReferenceDevice } from "../../device/reference.ts";
import { readJson } from "../../file/folder.ts";
import { FormatError } from "../../tensor/error.ts";
import type { Device } from "../../tensor/tensor.ts";
import { PLAIN, readManifest, SMALL, Unsupported } from "./case.ts";
import { runConversionCase } from "./conversion/conversion.ts";
import { runLayerCase } from "./layer/layer.ts";
import { Ledger } from "./ledger.ts";
import { runModelCase } from "./model.ts";
import { runOpCase } from "./op/op.ts";

/** How one golden case went. Numbers are those of the tensor that came closest to, or went furthest past, its tolerance. */
export interface GoldenCase {
  readonly name: string;
  readonly kind: string;
  readonly status: "pass" | "fail" | "unsupported";
  /** Largest absolute difference; null where nothing could be compared. */
  readonly maxError: number | null;
  readonly tolerance: number | null;
  readonly reason?: string | undefined;
}

/** All cases of a directory, by name, and how many there are of each status. */
export interface GoldenReport {
  readonly cases: readonly GoldenCase[];
  readonly pass: number;
  readonly fail: number;
  readonly unsupported: number;
}

/** How to run golden cases. */
export interface GoldenOptions {
  /** Sees each case as it is done. */
  readonly onCase?: (result: GoldenCase) => void;
  /** Where to run; the float64 reference and float32 wasm unless given. */
  readonly devices?: readonly Device[];
}

/** How each kind of case is run: it fills the ledger and gives the names of all that the case expects. */
const kinds = {
  whole_model: runModelCase,
  attention_layer: runLayerCase,
  op: runOpCase,
  conversion: runConversionCase,
};

/**
 * Runs every golden case of a directory: those its index.json lists and every subfolder with a manifest.json; or the one case
 * that the directory itself is. A case that cannot be read is a fail with its reason, one of a kind or model that is not
 * known is unsupported, and the run goes on.
 *
 * Errors: FormatError where the directory or its index is not what it should be, DeviceError where wasm does not start.
 */
export async function verifyGolden(dir: string, options: GoldenOptions = {}): Promise<GoldenReport> {
  const folders = await caseFolders(dir);
  const devices = options.devices ?? [
    new ReferenceDevice(),
    await (await import("../../device/wasm.ts")).WasmDevice.open(),
  ];
  const cases: GoldenCase[] = [];
  try {
    for (const { name, path, kind } of folders) {
      const result = await runCase(name, path, kind, devices);
      cases.push(result);
      options.onCase?.(result);
    }
  } finally {
    if (!options.devices) for (const device of devices) device.close();
  }
  const number = (status: GoldenCase["status"]) => cases.filter((c) => c.status === status).length;
  return { cases, pass: number("pass"), fail: number("fail"), unsupported: number("unsupported") };
}

async function caseFolders(dir: string): Promise<{ name: string; path: string; kind?: string | undefined }[]> {
  const there = await stat(dir).catch(() => undefined);
  if (!there?.isDirectory())
    throw new FormatError(
      `${dir}: got ${there ? "a file" : "no such folder"}, expected a folder of golden cases; check the path`,
    );
  const kinds = new Map<string, string | undefined>();
  const files = await readdir(dir, { withFileTypes: true });
  if (files.some(({ name }) => name === "index.json")) {
    const schema = z.object({
      list: z.array(z.object({ case: z.string().regex(PLAIN), kind: z.string().optional() })),
    });
    for (const entry of (await readJson(join(dir, "index.json"), SMALL, schema)).list)
      kinds.set(entry.case, entry.kind);
  } else if (files.some(({ name }) => name === "manifest.json")) return [{ name: basename(resolve(dir)), path: dir }];
  for (const { name } of files)
    if (!kinds.has(name) && (await stat(join(dir, name, "manifest.json")).catch(() => undefined)))
      kinds.set(name, undefined);
  if (kinds.size === 0)
    throw new FormatError(
      `${dir}: got no golden case, expected index.json or subfolders with a manifest.json; check the path`,
    );
  return [...kinds]
    .map(([name, kind]) => ({ name, path: join(dir, name), kind }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function runCase(
  name: string,
  path: string,
  listed: string | undefined,
  devices: readonly Device[],
): Promise<GoldenCase> {
  const nothing = { maxError: null, tolerance: null };
  let kind = listed ?? "unknown";
  try {
    const said = await readManifest(path);
    kind = said.kind;
    const run = Object.hasOwn(kinds, kind) ? kinds[kind as keyof typeof kinds] : undefined;
    if (!run) throw new Unsupported(`kind ${JSON.stringify(kind)} is not supported`);
    const ledger = new Ledger();
    const missed = (await run(path, said, devices, ledger)).filter(
      (tensor) => !/^(input|calibration)_ids$/.test(tensor) && !ledger.compared.has(tensor),
    );
    const { passed, worst } = ledger;
    const reason = ledger.reason ?? (missed.length ? `not compared: ${missed.join(", ")}` : undefined);
    return {
      name,
      kind,
      status: passed ? "pass" : "fail",
      maxError: worst?.error ?? null,
      tolerance: worst?.tolerance ?? null,
      reason,
    };
  } catch (error) {
    const status = error instanceof Unsupported ? "unsupported" : "fail";
    return { name, kind, status, ...nothing, reason: error instanceof Error ? error.message : String(error) };
  }
}
