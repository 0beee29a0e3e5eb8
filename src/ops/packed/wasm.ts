import { addressOf, storageOf } from "../../device/address.ts";
import { threadsFor } from "../../device/grain.ts";
import { type Geometry, geometryOf, LANES, type Panels } from "../../device/panel.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import { Q8_0 } from "../../tensor/format.ts";
import { codeOf, type Packing } from "../../tensor/packing.ts";
import { sizeOf, Tensor } from "../../tensor/tensor.ts";
import { type Axis, fuse, type Letters, lettersOf, makePlan, type Plan, strides } from "../einsum/plan.ts";
import { WHOLE_ROWS } from "../einsum/size.ts";
import { stripOf } from "../einsum/strip.ts";
import { ACTIVATED, ALIGNED, MOST, SPARE, STRIP, TILE, TOGETHER } from "./size.ts";
import * as slab from "./slab.ts";
import * as slot from "./slot.ts";

/**
 * Rows of activations up to which products are summed straight from the packed weight, where unpacking it costs about 8 such
 * rows. Weights of whole numbers are summed so for any number of rows.
 */
const FEW = 8;
/** Multiplications below which one thread is faster than two. */
const SMALL = 1 << 15;
/** Pieces of a product with few rows, and bytes of the weight (some 10 us of reading) above which there are more of them. */
const PIECES = 16;
const READ = 1 << 17;
/** Rows of activations that `packedProduct` keeps packed at most where the weight has few rows, so that there are some pieces. */
const [NARROW, STRIPED] = [384, 480];
/** Float32 numbers that a weight is unpacked to at a time where no kernel reads it packed: 1 MiB. */
const SLAB = 1 << 18;

/** A contraction with a packed weight as it will run. */
type Form =
  | { readonly kernel: string; readonly args: number[]; readonly threads: number | undefined }
  | { readonly slabs: readonly Slab[] };

/** Panels that are unpacked at once, and the plan over them. Offsets in elements. */
interface Slab {
  readonly plan: Plan;
  readonly panel: number;
  readonly panels: number;
  readonly size: number;
  readonly a: number;
  readonly c: number;
  readonly later: boolean;
}

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
    if (known.spec === spec && known.exact === exact && areEqual(known.a, a) && areEqual(known.b, b.shape)) {
      // In front it is found at once by the next step, whose shapes mostly are those of this one.
      if (i > 0) [list[0], list[i]] = [known, list[0]!];
      return known.form;
    }
  }
  const form = formOf(spec, a, b, packing, exact);
  list.push({ spec, a, b: b.shape, exact, form });
  return form;
}

function areEqual(a: readonly number[], b: readonly number[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Runs a plan over plain operands at these addresses: what einsum does where nothing is packed. */
type Launch = (
  device: WasmDevice,
  plan: Plan,
  at: Readonly<Record<"a" | "b" | "c", number>>,
  mode: "set" | "add",
) => void;

/**
 * Writes the contraction of `a` with a packed `b` to `out`, or adds it. Where b's columns are summed over and its rows are not
 * (projections), or the other way about (an up-projection folded into the query), kernels read it packed; else it is unpacked
 * piece by piece.
 */
export function contractPacked(
  spec: string,
  a: Tensor,
  b: Tensor,
  out: Tensor,
  mode: "set" | "add",
  launch: Launch,
): void {
  const packing: Panels = b.packing!;
  const device = out.device as WasmDevice;
  if (out.size === 0) return;
  const form = findForm(spec, a.shape, b, packing, device.exact ?? false);
  if ("slabs" in form) {
    runSlabs(form.slabs, a, b, out, mode, launch);
    return;
  }
  const { args } = form;
  args[slot.OUT] = addressOf(out);
  args[slot.X] = addressOf(a);
  args[slot.WEIGHT] = storageOf(b);
  args[slot.ADD] = mode === "add" ? 1 : 0;
  device.launch(form.kernel, args, form.threads);
}

function formOf(spec: string, aShape: readonly number[], b: Tensor, packing: Panels, exact: boolean): Form {
  const stored = storedSpec(spec, aShape, b.shape, packing);
  const geometry = geometryOf(b.shape, packing);
  return direct(stored, packing, geometry, exact) ?? { slabs: slabsOf(stored, packing, geometry) };
}

/** The spec with b's axes in the order of storage. */
interface Stored {
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
  const work = m.size * sizeOf([group.size, inner.size, geometry.columns]);
  const launch = { args, threads: work < SMALL ? 1 : undefined };
  const width = 4 * (geometry.columns + 8);
  const rounds = exact && codeOf(format) >= Q8_0;
  const few = across && !careful && !rounds && width <= SPARE;
  if (few && codeOf(format) >= Q8_0 && m.size > 1) {
    // Panels that are one tile belong to one piece.
    args[slot.RUN] = Math.ceil(run / TOGETHER) * TOGETHER;
    args[slot.STRIP] = rowsAtOnce(m.size, geometry.columns);
    return { kernel: "packedTiles", ...launch };
  }
  if (few && m.size <= FEW && m.size * width <= ACTIVATED) return { kernel: "packedDots", ...launch };
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
function rowsAtOnce(rows: number, columns: number): number {
  const room = TILE * Math.floor((ACTIVATED - ALIGNED) / (10 * columns));
  const most = Math.min(MOST, room);
  const strips = Math.ceil(rows / most);
  return TILE * Math.ceil(rows / strips / TILE);
}

/** The weight cut along its outermost row axis into pieces of about SLAB numbers. */
function slabsOf({ spec, letters, rows }: Stored, packing: Panels, geometry: Geometry): Slab[] {
  const letter = rows[0]!;
  const all = letters.sizes.get(letter)!;
  const numbers = geometry.groups * geometry.inner * geometry.columns;
  const panels = Math.ceil(geometry.inner / LANES) * (geometry.groups / (rows.length > 1 ? all : 1));
  const alone = rows.length === 1;
  const wanted = packing.format === "F32" ? all : Math.max(1, Math.floor((SLAB * all) / numbers));
  const count = Math.min(all, alone ? Math.ceil(wanted / LANES) * LANES : wanted);
  const [a, c] = [strides(letters.la, letters.sizes), strides(letters.out, letters.sizes)];
  const slabs: Slab[] = [];
  for (let from = 0; from < all; from += count) {
    const n = Math.min(count, all - from);
    slabs.push({
      plan: makePlan(spec, letters, [letter, n]),
      panel: alone ? from / LANES : from * panels,
      panels: alone ? Math.ceil(n / LANES) : n * panels,
      size: (numbers / all) * n,
      a: from * (a.get(letter) ?? 0),
      c: from * (c.get(letter) ?? 0),
      later: from > 0 && !c.has(letter),
    });
  }
  return slabs;
}

function runSlabs(
  slabs: readonly Slab[],
  a: Tensor,
  b: Tensor,
  out: Tensor,
  mode: "set" | "add",
  launch: Launch,
): void {
  const device = out.device as WasmDevice;
  const whole = b.packing!.format === "F32";
  const space = whole ? undefined : new Tensor(device, [Math.max(...slabs.map(({ size }) => size))]);
  for (const slab of slabs) {
    if (space) launchUnpack(b, slab.panel, slab.panels, addressOf(space));
    const at = {
      a: addressOf(a) + 4 * slab.a,
      b: space ? addressOf(space) : storageOf(b),
      c: addressOf(out) + 4 * slab.c,
    };
    launch(device, slab.plan, at, mode === "add" || slab.later ? "add" : "set");
  }
  space?.free();
}

/** Writes the rows of `panels` panels from `first` on as float32, side by side in the order of storage, to an address. */
function launchUnpack(packed: Tensor, first: number, panels: number, to: number): void {
  const packing = packed.packing!;
  const { columns, panel, inner } = geometryOf(packed.shape, packing);
  const args: number[] = [];
  args[slab.OUT] = to;
  args[slab.FROM] = storageOf(packed) + first * panel;
  args[slab.FORMAT] = codeOf(packing.format);
  args[slab.COLUMNS] = columns;
  args[slab.PANEL_BYTES] = panel;
  args[slab.FIRST] = first;
  args[slab.COUNT] = panels;
  args[slab.INNER] = inner;
  (packed.device as WasmDevice).launch("unpack", args, threadsFor(panels * columns));
}
