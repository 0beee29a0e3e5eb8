import { blocks, isQuant } from "../tensor/quant.ts";
import type { ByteSource } from "./bytes.ts";
import { type Dtype, dtypeBytes } from "./dtype.ts";
import { others, type Place, typeCodes, walkHeader } from "./gguf.ts";
import type { Metadata } from "./metadata.ts";

/** A tensor as a GGUF header lists it, of whatever type. */
export interface Listed {
  readonly shape: readonly number[];
  readonly elements: number;
  /** The type's name; "type 138" of one that is not known. */
  readonly type: string;
  /**
   * In the file: by the type, and up to the next tensor (with what pads it) where the type is not known. Absent where there is
   * neither, or where blocks do not fill rows.
   */
  readonly bytes?: number;
}

/** What a GGUF file's header says. Nothing after the header is needed. */
export interface Outline {
  readonly file: string;
  readonly metadata: Metadata;
  readonly tensors: ReadonlyMap<string, Listed>;
}

type Block = readonly [name: string, elements: number, bytes: number];

const known = new Map<number, Block>([
  ...Object.entries(typeCodes).map(([name, code]) => [code, blockOf(name)] as const),
  ...Object.entries(others).map(([code, block]) => [Number(code), block] as const),
]);

/**
 * Blocks of another layout under a code that ggml gives to its own: Q2_0 of PrismML's fork, 128 elements in 34 bytes (its
 * ggml-common.h; the Ternary-Bonsai files of 2026).
 */
const aliases = new Map<number, Block>([[typeCodes.Q2_0, ["Q2_0 in blocks of 128", 128, 34]]]);

function blockOf(name: string): Block {
  return isQuant(name) ? [name, blocks[name].elements, blocks[name].bytes] : [name, 1, dtypeBytes[name as Dtype]];
}

/**
 * The header of a GGUF file alone: of one that was cut after its header, of a part of several, or of one whose types Biform does
 * not read. `readGguf` is for those whose tensors are wanted.
 *
 * Errors: FormatError naming file, byte, what was got and expected for anything that is no header, or is not all of one.
 */
export async function readOutline(source: ByteSource): Promise<Outline> {
  const { metadata, places, start } = await walkHeader(source);
  const offsets = [...new Set(places.map(({ offset }) => offset))].sort((a, b) => a - b);
  const rooms = new Map(offsets.map((offset, i) => [offset, (offsets[i + 1] ?? source.size - start) - offset]));
  const tensors = new Map(places.map((place) => [place.name, measure(place, rooms.get(place.offset)!)]));
  return { file: source.name, metadata, tensors };
}

/** A tensor with its size in bytes, before whose next one there is so much room (not above zero in a header by itself). */
function measure({ shape, code }: Place, room: number): Listed {
  // Without zeros, which would hide that a product is past what a number holds; whoever adds up refuses such sums.
  const elements = shape.includes(0) ? 0 : shape.reduce((product, n) => product * n, 1);
  const sized = (block: Block | undefined): Listed | undefined => {
    if (!block) return undefined;
    const [type, each, bytes] = block;
    return elements % each ? { shape, elements, type } : { shape, elements, type, bytes: (elements / each) * bytes };
  };
  const own = sized(known.get(code));
  const other = sized(aliases.get(code));
  if (own && other?.bytes && room > 0 && (own.bytes ?? Number.POSITIVE_INFINITY) > room && other.bytes <= room)
    return other;
  return own ?? { shape, elements, type: `type ${code}`, ...(room > 0 && { bytes: room }) };
}
