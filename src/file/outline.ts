import { blocks, isQuant } from "../tensor/quant.ts";
import type { ByteSource } from "./bytes.ts";
import { type Dtype, dtypeBytes } from "./dtype.ts";
import { others, type Place, typeCodes, walkHeader } from "./gguf.ts";
import type { Metadata } from "./metadata.ts";

/** A tensor as a GGUF header lists it, of whatever type. */
export interface Listed {
  readonly shape: readonly number[];
  readonly elements: number;
  /** In the file; absent for a type that is not known, or where blocks do not fill rows. */
  readonly bytes?: number;
}

/** What a GGUF file's header says. Nothing after the header is needed. */
export interface Outline {
  readonly file: string;
  readonly metadata: Metadata;
  readonly tensors: ReadonlyMap<string, Listed>;
}

const known = new Map<number, readonly [elements: number, bytes: number]>([
  ...Object.entries(typeCodes).map(([name, code]) => [code, blockOf(name)] as const),
  ...Object.entries(others).map(([code, [, elements, bytes]]) => [Number(code), [elements, bytes]] as const),
]);

function blockOf(name: string): readonly [elements: number, bytes: number] {
  return isQuant(name) ? [blocks[name].elements, blocks[name].bytes] : [1, dtypeBytes[name as Dtype]];
}

/**
 * The header of a GGUF file alone: of one that was cut after its header, of a part of several, or of one whose types Biform does
 * not read. `readGguf` is for those whose tensors are wanted.
 *
 * Errors: FormatError naming file, byte, what was got and expected for anything that is no header, or is not all of one.
 */
export async function readOutline(source: ByteSource): Promise<Outline> {
  const { metadata, places } = await walkHeader(source);
  return { file: source.name, metadata, tensors: new Map(places.map((place) => [place.name, measure(place)])) };
}

function measure({ shape, code }: Place): Listed {
  // Without zeros, which would hide that a product is past what a number holds; whoever adds up refuses such sums.
  const elements = shape.includes(0) ? 0 : shape.reduce((product, n) => product * n, 1);
  const block = known.get(code);
  if (!block || elements % block[0]) return { shape, elements };
  return { shape, elements, bytes: (elements / block[0]) * block[1] };
}
