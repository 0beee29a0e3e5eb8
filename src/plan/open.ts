import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Blueprint } from "../cost/blueprint.ts";
import type { Config } from "../family/config.ts";
import { memorySource } from "../file/bytes.ts";
import { fileSource } from "../file/disk.ts";
import { listFolder } from "../file/listing.ts";
import { readRemote, remoteSource } from "../file/remote.ts";
import type { RequestOptions } from "../file/request.ts";
import { FormatError, ShapeError } from "../tensor/error.ts";
import { shipByFiles } from "./folder.ts";
import { hubNameOf, openHub } from "./hub.ts";
import { nearestPreset, presetOf } from "./preset/preset.ts";
import { blueprintOfConfig, type Reading } from "./read/config.ts";
import { blueprintOfSpec, type Given } from "./read/spec.ts";
import { blueprintOfSource, CONFIG_LIMIT } from "./read/text.ts";

/** What goes beside the name of what is planned. */
export interface OpenOptions extends Given {
  /** The variant, as a spec or a pattern, in place of what a config says. */
  readonly as?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Whether the headers of the weight files of a model on the hub are read too, which are there for a folder anyway. */
  readonly files?: boolean | undefined;
  /** Told what was taken where a name could also have meant something else. */
  readonly say?: ((line: string) => void) | undefined;
  /** Called with the bytes of each piece that arrives from a server. */
  readonly watch?: ((bytes: number) => void) | undefined;
}

/**
 * The blueprint of what a user names: a config.json, a folder with one or with a GGUF file, a GGUF file or its header, an http(s)
 * address of either, a preset, a model on the hub (hub.ts), or a spec with sizes, in this order. Sizes that are given count where a
 * config has none.
 *
 * Errors: FormatError or ShapeError, saying what was got and what could be named instead; DeviceError where the disk fails.
 */
export async function openPlan(
  what: string,
  { as, signal, files, say, watch, ...given }: OpenOptions = {},
): Promise<Blueprint> {
  const reading: Reading = { as, given: keysOf(given) };
  if (/^https?:\/\//i.test(what)) return openAddress(what, reading, { signal, watch });
  const hub = hubNameOf(what);
  const take = (taken: string) => hub && say?.(`${what} is the ${taken} here, not the model of that name on the hub`);
  const there = await stat(what).catch(() => undefined);
  if (there) {
    take(there.isDirectory() ? "folder" : "file");
    return there.isDirectory() ? openFolder(what, reading) : openFile(what, reading);
  }
  const preset = presetOf(what);
  if (preset) {
    take("preset");
    return { ...blueprintOfConfig(preset.config, preset.name, reading), source: preset.source };
  }
  if (hub) return openHub(hub, reading, process.env, { signal, watch, files });
  return openSpec(what, given);
}

/** Sizes under the keys of configs. */
function keysOf({ width, heads, layers, vocabulary, intermediate, tied }: Given): Config {
  const keys = {
    hidden_size: width,
    num_attention_heads: heads,
    num_hidden_layers: layers,
    vocab_size: vocabulary,
    intermediate_size: intermediate,
    tie_word_embeddings: tied,
  };
  return Object.fromEntries(Object.entries(keys).filter(([, value]) => value !== undefined));
}

async function openAddress(url: string, reading: Reading, options: RequestOptions): Promise<Blueprint> {
  if (/\.json([?#]|$)/i.test(url))
    return blueprintOfSource(memorySource(url, await readRemote(url, CONFIG_LIMIT, options)), reading);
  const source = await remoteSource(url, options);
  try {
    return await blueprintOfSource(source, reading);
  } finally {
    source.close();
  }
}

/** A file with the others of its parts beside it, where they are. */
async function openFile(path: string, reading: Reading): Promise<Blueprint> {
  return blueprintOfSource(await fileSource(path), reading, async (part) =>
    (await stat(part).catch(() => undefined)) ? fileSource(part) : undefined,
  );
}

async function openFolder(dir: string, reading: Reading): Promise<Blueprint> {
  const names = await readdir(dir);
  if (names.includes("config.json")) {
    const blueprint = await blueprintOfSource(await fileSource(join(dir, "config.json")), reading);
    return shipByFiles(blueprint, await listFolder(dir));
  }
  // Of a model in several parts, the first has the keys.
  const files = names.filter((name) => /\.gguf$/i.test(name) && !/-(?!00001-)\d{5}-of-\d{5}\.gguf$/i.test(name));
  if (files.length === 1) return openFile(join(dir, files[0]!), reading);
  throw new FormatError(
    `${dir}: got ${files.length ? `${files.length} GGUF files` : "no config.json and no GGUF file"}, expected one of either; name the file itself`,
  );
}

function openSpec(what: string, given: Given): Blueprint {
  try {
    return blueprintOfSpec(what, given);
  } catch (error) {
    // A text that begins as a variant's name does is taken for a variant with a mistake in it, and the mistake is told.
    if (!(error instanceof ShapeError) || /^(\[|MHA|MQA|GQA|MFA|MLA|GQLA|GLA|GTA|TPA|KDA|GDN|DeltaNet)/.test(what))
      throw error;
    const close = nearestPreset(what);
    const path = /[/\\]|\.(json|gguf)$/i.test(what);
    throw new FormatError(
      `${what.slice(0, 200)}: got ${path ? "no such file or folder" : "no file, preset or variant of this name"}, expected a config.json, a folder, ` +
        `a GGUF file, an address, a preset${close ? ` (the nearest is ${close})` : ""} or a variant such as MLA; check the name`,
      { cause: error },
    );
  }
}
