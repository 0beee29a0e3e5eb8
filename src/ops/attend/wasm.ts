import { addressOf } from "../../device/address.ts";
import { SCRATCH_BYTES } from "../../device/layout.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import { DeviceError } from "../../tensor/error.ts";
import type { Page } from "../../tensor/page.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { numbersOf, typeNumber } from "../pages/wasm.ts";
import type { AttendBackwardKernel, AttendCall, AttendKernel } from "./index.ts";

/** Pieces of work that keep a few threads busy to the end; the same on every machine, so that results are too. */
const PIECES = 8;
/** Memory of a piece of queries: what stays near the core while keys stream by. */
const NEAR = 768 * 1024;
/** Multiplications (some 2 us) that are not worth waking another thread for. */
const ALONE = 50_000;
/** Queries of a panel, and keys that fill whole tiles, in any build. */
const PANEL = 16;
const TILES = 12;
/** Blocks of a piece of keys, at least: packing its queries and merging its results cost as much as some 35 keys. */
const LEAST = 4;
/** Queries whose weights the reverse pass holds at once. */
const HELD = 128;
/** Rows of a group up to which they are taken one by one, and keys of a block then. */
const FEW = 4;
const FEW_BLOCK = 64;

/** How a call is cut up: see call.as.ts. */
interface Plan {
  /** Heads that share every key and value, taken as rows of one group. */
  readonly m: number;
  readonly block: number;
  readonly rowsPerPiece: number;
  readonly rowPieces: number;
  readonly keysPerPiece: number;
  readonly keyPieces: number;
  /** Rows are taken one by one. */
  readonly few: boolean;
}

export const attendWasm: AttendKernel = (call, out, lse) => {
  const device = out.device as WasmDevice;
  const plan = planForward(call);
  const parts =
    plan.few || plan.keyPieces > 1
      ? new Tensor(device, [call.batch * call.t * call.h * plan.keyPieces, valueWidth(call) + 2])
      : undefined;
  const args = head(call, plan, out, lse);
  args[20] = addressOf(parts);
  const rows = [...call.terms.map(({ k }) => k), ...call.values.map(({ v }) => v)];
  const { places, table } = tableOf(rows);
  device.lend(table, (base) => {
    rows.forEach((x, i) => {
      const { e, g } = i < call.terms.length ? call.terms[i]! : call.values[i - call.terms.length]!;
      const query = addressOf(call.terms[i]?.q);
      args.push(
        e,
        g,
        x.paging ? 0 : addressOf(x),
        query,
        0,
        0,
        0,
        1,
        ...pageArguments(x, base, places),
        rows.indexOf(x),
      );
    });
    device.launch(parts ? ["attend", "attendMerge"] : "attend", args, threadsFor(call));
  });
  parts?.free();
};

export const attendBackwardWasm: AttendBackwardKernel = (call, out, lse, gout, { dq, dk, dv, dsinks }) => {
  const device = out.device as WasmDevice;
  const plan = planBackward(call);
  const groups = call.h / plan.m;
  const args = head(call, plan, out, lse);
  args[21] = addressOf(gout);
  args[25] = addressOf(dsinks);
  const copies: Tensor[] = [];
  let count = 0;
  const operand = (e: number, g: number, key: Tensor, q: Tensor | undefined, dkey?: Tensor, dquery?: Tensor) => {
    const n = (groups / g) * plan.rowPieces;
    const copy = dkey && n > 1 ? new Tensor(device, [n * key.size + 3]) : undefined;
    if (copy) copies.push(copy);
    args.push(e, g, addressOf(key), addressOf(q), addressOf(dkey), addressOf(dquery), addressOf(copy), n);
    args.push(...unpaged, count++);
  };
  call.terms.forEach(({ q, k, e, g }, i) => {
    operand(e, g, k, q, dk[i], dq[i]);
  });
  call.values.forEach(({ v, e, g }, i) => {
    operand(e, g, v, undefined, dv[i]);
  });
  device.launch(["attendBackward", "attendCopies", ...(dsinks ? ["attendSinks"] : [])], args, threadsFor(call));
  for (const copy of copies) copy.free();
};

/** One thread where meeting others would take longer than the work, else all. */
function threadsFor(call: AttendCall): number | undefined {
  const pairs = call.batch * call.h * call.t * call.s;
  return pairs * (termWidth(call) + valueWidth(call)) < ALONE ? 1 : undefined;
}

/** The arguments up to those of the operands. */
function head(call: AttendCall, plan: Plan, out: Tensor, lse: Tensor | undefined): number[] {
  const { batch, t, s, h, scale, causal, window, terms, values, start, chosen, sinks, stick } = call;
  const { m, block, rowsPerPiece, rowPieces, keysPerPiece, keyPieces, few } = plan;
  return [
    batch,
    t,
    s,
    h,
    scale,
    causal ? 1 : 0,
    window,
    m,
    h / m,
    terms.length,
    values.length,
    termWidth(call),
    valueWidth(call),
    addressOf(out),
    addressOf(lse),
    block,
    rowsPerPiece,
    rowPieces,
    keysPerPiece,
    keyPieces,
    0,
    0,
    few ? 1 : 0,
    addressOf(start),
    addressOf(sinks),
    0,
    stick ? 1 + (stick.current ? 0 : 2) + (stick.remainder ? 4 : 0) : 0,
    addressOf(chosen),
    chosen?.shape[1] ?? 0,
    0,
  ];
}

/** What the arguments of an operand say of pages where it lies on none. */
export const unpaged = [0, 0, 0, 0, 0] as const;

/** Where an operand's pages are listed, in the table at `base`, and how its rows lie on them. */
function pageArguments(
  { paging }: Tensor,
  base: number,
  places: ReadonlyMap<readonly Page[], number>,
): readonly number[] {
  if (!paging) return unpaged;
  const table = base + 4 * places.get(paging.pages)!;
  return [table, typeNumber[paging.type], paging.offset, paging.scales, paging.groups];
}

/** The numbers of all pages that operands lie on, and where each list of them begins. */
function tableOf(operands: readonly Tensor[]) {
  const lists = new Set(operands.flatMap(({ paging }) => (paging ? [paging.pages] : [])));
  const places = new Map<readonly Page[], number>();
  const table = new Int32Array([...lists].reduce((sum, pages) => sum + pages.length, 0));
  let at = 0;
  for (const pages of lists) {
    places.set(pages, at);
    table.set(numbersOf(pages), at);
    at += pages.length;
  }
  return { places, table };
}

/** Floats that a key takes where its rows are expanded from narrower ones: of all groups, or of one. */
function expandedWidth({ terms, values }: AttendCall, extent: "all" | "one"): number {
  const rows = new Map<Tensor, number>();
  for (const { k, e, g } of terms) if (narrow(k)) rows.set(k, (extent === "all" ? g * e : e) + PANEL);
  for (const { v, e, g } of values) if (narrow(v)) rows.set(v, (extent === "all" ? g * e : e) + PANEL);
  return [...rows.values()].reduce((sum, n) => sum + n, 0);
}

const narrow = ({ paging }: Tensor) => paging !== undefined && paging.type !== "f32";
const onPages = ({ terms, values }: AttendCall) => terms.some(({ k }) => k.paging) || values.some(({ v }) => v.paging);

function planForward(call: AttendCall): Plan {
  const m = foldedHeads(call);
  const rows = call.t * m;
  const pages = onPages(call);
  // A choice of keys is known to the panels alone.
  if (rows <= FEW && !call.chosen) {
    const block = pages ? fewBlock(expandedWidth(call, "all")) : FEW_BLOCK;
    const most = Math.max(1, Math.floor(call.s / (2 * block)));
    const wanted = Math.min(most, Math.ceil((2 * PIECES) / call.batch));
    const keysPerPiece = Math.ceil(call.s / wanted / block) * block;
    const keyPieces = Math.ceil(call.s / keysPerPiece);
    return { m, block, rowsPerPiece: rows, rowPieces: 1, keysPerPiece, keyPieces, few: true };
  }
  const width = fill(call.terms) + fill(call.values);
  const block = pages ? pageBlock(blockOf(width)) : blockOf(width);
  const rowsPerPiece = piece(
    rows,
    (call.batch * call.h) / m,
    (SCRATCH_BYTES - 4 * block * (width + PANEL + expandedWidth(call, "one"))) / (width + 8),
    NEAR / width,
  );
  const rowPieces = Math.ceil(rows / rowsPerPiece);
  // Few queries, many keys: pieces of the keys, whose results are merged.
  const others = ((call.batch * call.h) / m) * rowPieces;
  const most = rows <= 128 ? Math.max(1, Math.floor(call.s / (LEAST * block))) : 1;
  // Halves of halves: what a number of threads shares evenly.
  const wanted = Math.min(2 ** Math.floor(Math.log2(most)), Math.ceil(PIECES / others));
  const keysPerPiece = Math.max(1, Math.ceil(call.s / wanted / block)) * block;
  return {
    m,
    block,
    rowsPerPiece,
    rowPieces,
    keysPerPiece,
    keyPieces: Math.max(1, Math.ceil(call.s / keysPerPiece)),
    few: false,
  };
}

function planBackward(call: AttendCall): Plan {
  const m = foldedHeads(call);
  const rows = call.t * m;
  const width = 3 * fill(call.terms) + 2 * fill(call.values);
  const block = blockOf(width / 2);
  const room = SCRATCH_BYTES - 4 * block * (width + 2 * HELD);
  const rowsPerPiece = piece(rows, (call.batch * call.h) / m, room / (width + 8), room / (width + 8));
  return {
    m,
    block,
    rowsPerPiece,
    rowPieces: Math.ceil(rows / rowsPerPiece),
    keysPerPiece: call.s,
    keyPieces: 1,
    few: false,
  };
}

/** Rows of a piece: as many as fit (in floats of memory), fewer where there would be too few pieces. */
function piece(rows: number, others: number, room: number, near: number): number {
  const most = Math.floor(room / 4 / PANEL) * PANEL;
  if (most < PANEL) throw new DeviceError("attend: keys and values too wide for a thread's memory; use narrower heads");
  const enough = Math.ceil((rows * others) / PIECES / 64) * 64;
  return Math.max(PANEL, Math.min(most, Math.max(64, Math.floor(near / 4 / 64) * 64), Math.max(64, enough)));
}

/** Keys of a block: fewer where rows are wide, so that they stay in the second-level cache while all queries pass. */
function blockOf(width: number): number {
  return Math.max(2, Math.min(8, Math.floor(49152 / width / TILES))) * TILES;
}

/** A block that divides a page: for narrow heads and MLA's latents alike, one page is the fastest. */
function pageBlock(block: number): number {
  return block >= 36 ? 96 : 48;
}

/** Keys of a block where rows are few and lie on pages: expanded rows stay in the second-level cache. */
function fewBlock(width: number): number {
  return width <= 4096 ? 48 : width <= 8192 ? 24 : 12;
}

/** Heads that share every key and value. */
function foldedHeads({ h, terms, values }: AttendCall): number {
  return [...terms, ...values].reduce((m, { g }) => gcd(m, h / g), 0);
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

/** Floats of a row, each operand filled up to whole tiles in any build. */
function fill(operands: readonly { readonly e: number }[]): number {
  return operands.reduce((sum, { e }) => sum + Math.ceil(e / PANEL) * PANEL, 0);
}

function termWidth(call: AttendCall): number {
  return call.terms.reduce((sum, { e }) => sum + e, 0);
}

function valueWidth(call: AttendCall): number {
  return call.values.reduce((sum, { e }) => sum + e, 0);
}
