import type { Blueprint } from "../../cost/blueprint.ts";
import type { Config } from "../../family/config.ts";
import { type ByteSource, blobSource, refusePointer } from "../../file/bytes.ts";
import { MAGIC } from "../../file/gguf.ts";
import { readOutline } from "../../file/outline.ts";
import { joinOutlines } from "../../file/parts.ts";
import { FormatError, ShapeError } from "../../tensor/error.ts";
import { formatJson, parseJson } from "../../tensor/json.ts";
import { blueprintOfConfig, type Reading } from "./config.ts";
import { blueprintOfGguf } from "./gguf.ts";

/** The most bytes that a config.json may have. */
export const CONFIG_LIMIT = 16_000_000;

/** What to call a model whose file, folder or address this is: the folder of a config, a GGUF file without its ending. */
export function nameOf(path: string): string {
  const parts = path
    .replace(/^https?:\/\/[^/]*/i, "")
    .replace(/[?#].*$/, "")
    .replace(/\/(resolve|raw|blob)\/[^/]+\//, "/")
    .split(/[/\\]/)
    .filter((part) => part !== "" && part !== "." && part !== "..");
  if (parts.at(-1)?.toLowerCase().endsWith(".json") && parts.length > 1) parts.pop();
  return (parts.at(-1) ?? path).replace(/(-\d{5}-of-\d{5})?\.gguf$/i, "");
}

/** The blueprint of a config.json's text. Errors: FormatError or ShapeError, naming `file`. */
export function blueprintOfText(text: string, file: string, reading: Reading = {}): Blueprint {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message.replaceAll(/\s+/g, " ").slice(0, 80) : "";
    throw new FormatError(
      `${file}: got no JSON (${reason}), expected a config.json or a GGUF file; name one of these`,
      {
        cause: error,
      },
    );
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new FormatError(
      `${file}: got ${Array.isArray(value) ? "a list" : formatJson(value).slice(0, 60)}, expected an object of keys; name a config.json`,
    );
  try {
    return blueprintOfConfig(value as Config, nameOf(file), reading);
  } catch (error) {
    if (error instanceof FormatError) throw new FormatError(`${file}: ${error.message}`, { cause: error });
    if (error instanceof ShapeError) throw new ShapeError(`${file}: ${error.message}`, { cause: error });
    throw error;
  }
}

/**
 * The blueprint of a config.json or of a GGUF file, of which only the header is read. Of a file in several parts it is that of
 * the first; `part` gives the others beside it, and undefined for one that is not there, without which the keys alone speak.
 * Errors: as `blueprintOfText`.
 */
export async function blueprintOfSource(
  source: ByteSource,
  reading: Reading = {},
  part: (file: string) => Promise<ByteSource | undefined> = async () => undefined,
): Promise<Blueprint> {
  await refusePointer(source);
  const { name: file, size } = source;
  const head = new Uint8Array(Math.min(4, size));
  await source.read(0, head);
  if (head.length === 4 && new DataView(head.buffer).getUint32(0, true) === MAGIC) {
    const outline = await joinOutlines(await readOutline(source), async (file) => {
      const other = await part(file);
      return other && readOutline(other);
    });
    return blueprintOfGguf(outline, nameOf(file), reading);
  }
  if (size > CONFIG_LIMIT || /\.(safetensors|bin|pth?|onnx|zip)$/i.test(file))
    throw new FormatError(
      `${file}: got a file that is neither, expected a config.json or a GGUF file; name one of these`,
    );
  const bytes = new Uint8Array(size);
  await source.read(0, bytes);
  return blueprintOfText(new TextDecoder().decode(bytes), file, reading);
}

/** The blueprint of a file that was dropped on a page. Errors: as `blueprintOfText`. */
export function blueprintOfBlob(blob: Blob, name: string, reading: Reading = {}): Promise<Blueprint> {
  return blueprintOfSource(blobSource(name, blob), reading);
}
