import { addressOf, storageOf } from "../../device/address.ts";
import { type Geometry, geometryOf, LANES, type Panels } from "../../device/panel.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import { Q8_0 } from "../../tensor/format.ts";
import { codeOf, type Packing } from "../../tensor/packing.ts";
import { isShape, sizeOf, type Tensor } from "../../tensor/tensor.ts";
import type { Contracted } from "../einsum/index.ts";
import { type Axis, fuse, type Letters, lettersOf, strides } from "../einsum/plan.ts";
import { WHOLE_ROWS } from "../einsum/size.ts";
import { stripOf } from "../einsum/strip.ts";
import { type Launch, runSlabs, type Slab, slabsOf } from "./piecewise/wasm.ts";
import { ACTIVATED, ALIGNED, MOST, SPARE, STRIP, SUMS, TILE, TOGETHER } from "./size.ts";
import * as slot from "./slot.ts";

/**
 * Rows of activations up to which products are summed straight from the packed weight, where unpacking it costs about 8 such
 * rows. Weights of whole numbers are summed so for any number of rows.
 */
const FEW = 8;
/**
 * Rows up to which each goes by itself over a panel of whole numbers, which the others find in the first-level cache: tiles of 4 rows read
 * several panels at once, of which the processor may fetch none ahead. Sums of 6 bits take longer than that.
 */
const APART = 2;
/** Multiplications below which one thread is faster than two. */
const SMALL = 1 << 15;
/** Pieces of a product with few rows, and bytes of the weight (some 10 us of reading) above which there are more of them. */
const PIECES = 16;
const READ = 1 << 17;
/** Rows of activations that `packedProduct` keeps packed at most where the weight has few rows, so that there are some pieces. */
const [NARROW, STRIPED] = [384, 480];

/** A launch of a kernel that reads a packed weight, with the addresses still missing. */
export interface Direct {
  readonly kernel: string;
  readonly args: number[];
  readonly threads: number | undefined;
}

/** A contraction with a packed weight as it will run. */
export type Form = Direct | { readonly slabs: readonly Slab[] };

const NONE: Axis = { size: 1, a: 0, b: 0, c: 0 };

/** A form, and what it was made for besides a packing. */
interface Known {
  readonly spec: string;
  readonly a: readonly number[];
  readonly b: readonly number[];
  readonly exact: boolean;
  readonly form: Form;
}

/** Forms by the packing of a weight: looked up without a text key, which every token would leave behind. */
const forms = new WeakMap<Packing, Known[]>();
/** Forms of one weight beyond which it begins anew: prompts may have any length. */
const MANY = 256;

function findForm(spec: string, a: readonly number[], b: Tensor, packing: Panels, exact: boolean): Form {
  let list = forms.get(packing);
  if (!list || list.length >= MANY) {
    list = [];
    forms.set(packing, list);
  }
  for (let i = 0; i < list.length; i++) {
    const known = list[i]!;
    if (known.spec === spec && known.exact === exact && isShape(known.a, a) && isShape(known.b, b.shape)) {
      // In front it is found at once by the next step, whose shapes mostly are those of this one.
      if (i > 0) [list[0], list[i]] = [known, list[0]!];
      return known.form;
    }
  }
  const form = formOf(spec, a, b, packing, exact);
  list.push({ spec, a, b: b.shape, exact, form });
  return form;
}

/**
 * Writes the contraction of `a` with a packed `b` to `out`, or adds it. Where b's columns are summed over and its rows are not
 * (projections), or the other way about (an up-projection folded into the query), kernels read it packed; else it is unpacked
 * piece by piece.
 */
export function contractPacked(one: Contracted, launch: Launch): void {
  if (one.out.size === 0) return;
  const device = one.out.device as WasmDevice;
  const form = formFor(one);
  if ("slabs" in form) {
    runSlabs(form.slabs, one.a, one.b, one.out, one.mode, launch);
    return;
  }
  device.launch(form.kernel, argumentsOf(form, one), form.threads);
}

/** Arguments of its launch, good until another contraction in this form asks. */
export function argumentsOf({ args }: Direct, { a, b, out, mode }: Contracted): number[] {
  args[slot.OUT] = addressOf(out);
  args[slot.X] = addressOf(a);
  args[slot.WEIGHT] = storageOf(b);
  args[slot.ADD] = mode === "add" ? 1 : 0;
  args[slot.DOTS] = (out.device as WasmDevice).dots ? 1 : 0;
  return args;
}

/** How it will run. */
export function formFor({ plan, a, b, out }: Contracted): Form {
  return findForm(plan.spec, a.shape, b, b.packing!, (out.device as WasmDevice).exact ?? false);
}

function formOf(spec: string, aShape: readonly number[], b: Tensor, packing: Panels, exact: boolean): Form {
  const stored = storedSpec(spec, aShape, b.shape, packing);
  const geometry = geometryOf(b.shape, packing);
  return direct(stored, packing, geometry, exact) ?? { slabs: slabsOf(stored, packing, geometry) };
}

/** The spec with b's axes in the order of storage. */
export interface Stored {
  readonly spec: string;
  readonly letters: Letters;
  readonly rows: readonly string[];
  readonly columns: readonly string[];
}

function storedSpec(spec: string, aShape: readonly number[], bShape: readonly number[], packing: Panels): Stored {
  const { la, lb, out, sizes } = lettersOf(spec, aShape, bShape);
  const [rows, columns] = [packing.rows.map((axis) => lb[axis]!), packing.columns.map((axis) => lb[axis]!)];
  const ours = [...rows, ...columns];
  const text = `${la.join(" ")}, ${ours.join(" ")} -> ${out.join(" ")}`;
  return { spec: text, letters: { la, lb: ours, out, sizes }, rows, columns };
}

/** A launch of a kernel that reads b packed, if one can do it. */
function direct(stored: Stored, packing: Panels, geometry: Geometry, exact: boolean): Form | undefined {
  const { letters, rows, columns } = stored;
  const { la, lb, out, sizes } = letters;
  if (packing.format === "F32") return undefined;
  const [inA, inC] = [strides(la, sizes), strides(out, sizes)];
  const axis = (letter: string): Axis => ({
    size: sizes.get(letter)!,
    a: inA.get(letter) ?? 0,
    b: 0,
    c: inC.get(letter) ?? 0,
  });
  const [m = NONE, ...more] = fuse(la.filter((l) => inC.has(l) && !lb.includes(l)).map(axis));
  const [column = NONE, ...moreColumns] = fuse(columns.map(axis));
  // Panels do not straddle groups; where groups are whole panels, they may count as one.
  const joined = geometry.inner % LANES === 0 ? fuse(rows.map(axis)) : [];
  const split = [...fuse(rows.slice(0, -1).map(axis)), axis(rows.at(-1)!)];
  const [inner = NONE, group = NONE, ...moreRows] = (joined.length ? joined : split).toReversed();
  if (more.length || moreColumns.length || moreRows.length) return undefined;
  // An axis of one place is neither here nor there.
  const long = (list: readonly string[]) => list.filter((l) => sizes.get(l)! > 1);
  const across = long(columns).every((l) => !inC.has(l)) && long(rows).every((l) => inC.has(l));
  const down =
    long(columns).every((l) => !inA.has(l)) && inner.c === 0 && inner.a > 0 && (group === NONE || group.c > 0);
  if (!across && !down) return undefined;
  const { format, careful } = packing;
  const each = Math.ceil(inner.size / LANES);
  const run = Math.max(1, Math.min(Math.ceil((each * group.size) / PIECES), Math.floor(READ / geometry.panel)));
  const args: number[] = [];
  args[slot.OUT] = 0;
  args[slot.X] = 0;
  args[slot.WEIGHT] = 0;
  args[slot.FORMAT] = codeOf(format);
  args[slot.COLUMNS] = geometry.columns;
  args[slot.PANEL_BYTES] = geometry.panel;
  args[slot.GROUPS] = group.size;
  args[slot.INNER] = inner.size;
  args[slot.ROWS] = m.size;
  args[slot.X_ROW] = m.a;
  args[slot.X_GROUP] = group.a;
  args[slot.X_ELEMENT] = across ? column.a : inner.a;
  args[slot.OUT_ROW] = m.c;
  args[slot.OUT_GROUP] = group.c;
  args[slot.OUT_ELEMENT] = across ? inner.c : column.c;
  args[slot.ADD] = 0;
  args[slot.RUN] = run;
  args[slot.STRIP] = 0;
  args[slot.SAME] = 0;
  args[slot.COUNT] = 1;
  const work = m.size * sizeOf([group.size, inner.size, geometry.columns]);
  const launch = { args, threads: work < SMALL ? 1 : undefined };
  const width = 4 * (geometry.columns + 8);
  const rounds = exact && codeOf(format) >= Q8_0;
  const few = across && !careful && !rounds && width <= SPARE;
  // Panels that are multiplied together belong to one piece.
  if (few && codeOf(format) >= Q8_0) args[slot.RUN] = Math.ceil(run / TOGETHER) * TOGETHER;
  if (few && codeOf(format) >= Q8_0 && m.size > (format === "Q6_K" ? 1 : APART)) {
    args[slot.STRIP] = roundedStrip(m.size, geometry.columns);
    return { kernel: "packedTiles", ...launch };
  }
  if (few && m.size <= FEW && m.size * width <= ACTIVATED - SUMS) return { kernel: "packedDots", ...launch };
  if (across) {
    const strip = stripOf(m.size, geometry.columns, WHOLE_ROWS);
    if (strip === 0) return undefined;
    args[slot.STRIP] = inner.size < NARROW ? Math.min(strip, STRIPED) : strip;
    return { kernel: "packedProduct", ...launch };
  }
  if (m.size <= FEW && (m.size + 1) * 16 * STRIP + m.size * 16 * each <= ACTIVATED)
    return { kernel: "packedSums", ...launch };
  return undefined;
}

/** Rows of activations that a thread keeps rounded: as many as there is room for, in strips of one length. */
function roundedStrip(rows: number, columns: number): number {
  const room = TILE * Math.floor((ACTIVATED - ALIGNED) / (10 * columns));
  const most = Math.min(MOST, room);
  const strips = Math.ceil(rows / most);
  return TILE * Math.ceil(rows / strips / TILE);
}
