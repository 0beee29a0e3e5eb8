import { addressOf, storageOf } from "../../../device/address.ts";
import { threadsFor } from "../../../device/grain.ts";
import { type Geometry, geometryOf, LANES, type Panels } from "../../../device/panel.ts";
import type { WasmDevice } from "../../../device/wasm.ts";
import { codeOf } from "../../../tensor/packing.ts";
import { Tensor } from "../../../tensor/tensor.ts";
import { makePlan, type Plan, strides } from "../../einsum/plan.ts";
import * as slab from "../slab.ts";
import type { Stored } from "../wasm.ts";

// Contractions with a packed weight that no kernel reads packed: it is unpacked piece by piece.

/** Float32 numbers that a weight is unpacked to at a time where no kernel reads it packed: 512 KiB. */
const SLAB = 1 << 17;

/** Panels that are unpacked at once, and the plan over them. Offsets in elements. */
export interface Slab {
  readonly plan: Plan;
  readonly panel: number;
  readonly panels: number;
  readonly size: number;
  readonly a: number;
  readonly c: number;
  readonly later: boolean;
}

/** Runs a plan over plain operands at these addresses: what einsum does where nothing is packed. */
export type Launch = (
  device: WasmDevice,
  plan: Plan,
  at: Readonly<Record<"a" | "b" | "c", number>>,
  mode: "set" | "add",
) => void;

/** The weight cut along its outermost row axis into pieces of about SLAB numbers. */
export function slabsOf({ spec, letters, rows }: Stored, packing: Panels, geometry: Geometry): Slab[] {
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

export function runSlabs(
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
