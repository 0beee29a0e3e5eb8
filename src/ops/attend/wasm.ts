import { type Arguments, addressOf } from "../../device/address.ts";
import { SCRATCH_BYTES } from "../../device/layout.ts";
import type { WasmDevice } from "../../device/wasm.ts";
import { DeviceError } from "../../tensor/error.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { FEW, WHOLE_COLUMNS as PANEL, WHOLE_ROWS as TILES } from "../einsum/size.ts";
import { numberOf, typeNumber } from "../pages/wasm.ts";
import type { AttendBackwardKernel, AttendCall, AttendKernel } from "./index.ts";
import { HELD } from "./size.ts";
import * as slot from "./slot.ts";

/** Pieces of work that keep a few threads busy to the end; the same on every machine, so that results are too. */
const PIECES = 8;
/** Memory of a piece of queries: what stays near the core while keys stream by. */
const NEAR = 768 * 1024;
/** Multiplications (some 2 us) that are not worth waking another thread for. */
const ALONE = 50_000;
/** Blocks of a piece of keys, at least: laying out its queries and merging its results cost as much as some 35 keys. */
const LEAST = 4;
/** Keys of a block where rows are taken one by one. */
const FEW_BLOCK = 64;

/** How a call is cut up. */
export interface Plan {
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
  const unfinished = partNumbers(call, plan);
  const parts = unfinished ? new Tensor(device, [unfinished]) : undefined;
  const args: number[] = [];
  tellCall(args, call, plan, out, lse);
  args[slot.PARTS] = addressOf(parts);
  const table: number[] = [];
  const places = listPages(call, table);
  device.lend(Int32Array.from(table), (base) => {
    tellPages(args, call, places, base);
    device.launch(parts ? ["attend", "attendMerge"] : "attend", args, threadsFor(call));
  });
  parts?.free();
};

export const attendBackwardWasm: AttendBackwardKernel = (call, out, lse, gout, { dq, dk, dv, dsinks }) => {
  const device = out.device as WasmDevice;
  const plan = planBackward(call);
  const groups = call.h / plan.m;
  const args: number[] = [];
  tellCall(args, call, plan, out, lse);
  args[slot.GOUT] = addressOf(gout);
  args[slot.SINK_GRADIENT] = addressOf(dsinks);
  const copies: Tensor[] = [];
  for (let i = 0; i < operandsOf(call); i++) {
    const at = recordOf(i);
    const value = i - call.terms.length;
    const gradient = value < 0 ? dk[i] : dv[value];
    const n = (groups / args[at + slot.KEY_HEADS]!) * plan.rowPieces;
    const copy = gradient && n > 1 ? new Tensor(device, [n * gradient.size + 3]) : undefined;
    if (copy) copies.push(copy);
    // Gradients are of plain rows: this throws where there are pages.
    args[at + slot.KEYS] = addressOf(rowsOf(call, i));
    args[at + slot.KEY_GRADIENT] = addressOf(gradient);
    args[at + slot.QUERY_GRADIENT] = addressOf(dq[i]);
    args[at + slot.KEY_COPIES] = addressOf(copy);
    args[at + slot.COPIES] = n;
  }
  device.launch(["attendBackward", "attendCopies", ...(dsinks ? ["attendSinks"] : [])], args, threadsFor(call));
  for (const copy of copies) copy.free();
};

/** One thread where meeting others would take longer than the work, else all. */
export function threadsFor(...calls: readonly AttendCall[]): number | undefined {
  const work = (call: AttendCall) => call.batch * call.h * call.t * call.s * (termWidth(call) + valueWidth(call));
  return calls.reduce((sum, call) => sum + work(call), 0) < ALONE ? 1 : undefined;
}

/** Numbers of what is unfinished of a call, where it is done in pieces of the keys. */
export function partNumbers(call: AttendCall, { few, keyPieces }: Plan): number {
  return few || keyPieces > 1 ? call.batch * call.t * call.h * keyPieces * (valueWidth(call) + 2) : 0;
}

/** The arguments of a call that is cut up so, without pages, gradients and memory for what is unfinished. */
export function tellCall(args: Arguments, call: AttendCall, plan: Plan, out: Tensor, lse: Tensor | undefined): void {
  const { stick, chosen } = call;
  args[slot.BATCH] = call.batch;
  args[slot.T] = call.t;
  args[slot.S] = call.s;
  args[slot.H] = call.h;
  args[slot.SCALE] = call.scale;
  args[slot.CAUSAL] = call.causal ? 1 : 0;
  args[slot.WINDOW] = call.window;
  args[slot.FOLDED] = plan.m;
  args[slot.GROUPS] = call.h / plan.m;
  args[slot.TERMS] = call.terms.length;
  args[slot.VALUES] = call.values.length;
  args[slot.TERM_WIDTH] = termWidth(call);
  args[slot.VALUE_WIDTH] = valueWidth(call);
  args[slot.OUT] = addressOf(out);
  args[slot.LSE] = addressOf(lse);
  args[slot.BLOCK] = plan.block;
  args[slot.ROWS_PER_PIECE] = plan.rowsPerPiece;
  args[slot.ROW_PIECES] = plan.rowPieces;
  args[slot.KEYS_PER_PIECE] = plan.keysPerPiece;
  args[slot.KEY_PIECES] = plan.keyPieces;
  args[slot.PARTS] = 0;
  args[slot.GOUT] = 0;
  args[slot.FEW] = plan.few ? 1 : 0;
  args[slot.STARTS] = addressOf(call.start);
  args[slot.SINKS] = addressOf(call.sinks);
  args[slot.SINK_GRADIENT] = 0;
  args[slot.STICK] = stick ? 1 : 0;
  args[slot.BEHIND] = stick && !stick.current ? 1 : 0;
  args[slot.REMAINDER] = stick?.remainder ? 1 : 0;
  args[slot.CHOICES] = addressOf(chosen);
  args[slot.CHOICE] = chosen?.shape[1] ?? 0;
  for (let i = 0; i < operandsOf(call); i++) {
    const at = recordOf(i);
    const rows = rowsOf(call, i);
    const { e, g } = call.terms[i] ?? call.values[i - call.terms.length]!;
    args[at + slot.WIDTH] = e;
    args[at + slot.KEY_HEADS] = g;
    args[at + slot.KEYS] = rows.paging ? 0 : addressOf(rows);
    args[at + slot.QUERIES] = addressOf(call.terms[i]?.q);
    args[at + slot.KEY_GRADIENT] = 0;
    args[at + slot.QUERY_GRADIENT] = 0;
    args[at + slot.KEY_COPIES] = 0;
    args[at + slot.COPIES] = 1;
    args[at + slot.PAGES] = 0;
    args[at + slot.TYPE] = 0;
    args[at + slot.ROWS_AT] = 0;
    args[at + slot.SCALES_AT] = 0;
    args[at + slot.SCALES] = 0;
    args[at + slot.TWIN] = twinOf(call, i);
  }
}

const recordOf = (operand: number) => slot.OPERANDS + operand * slot.PER_OPERAND;
const operandsOf = ({ terms, values }: AttendCall) => terms.length + values.length;

/** Rows of keys or values of operand i. */
function rowsOf({ terms, values }: AttendCall, i: number): Tensor {
  return i < terms.length ? terms[i]!.k : values[i - terms.length]!.v;
}

/** The first operand with the rows of operand i. */
function twinOf(call: AttendCall, i: number): number {
  let twin = 0;
  while (rowsOf(call, twin) !== rowsOf(call, i)) twin++;
  return twin;
}

/** Says on which pages the rows of operands lie, and how: `places` is what `listPages` gave, of the table at `base`. */
export function tellPages(args: Arguments, call: AttendCall, places: readonly number[], base: number): void {
  for (let i = 0, at = recordOf(0); i < places.length; i++, at += slot.PER_OPERAND) {
    const { paging } = rowsOf(call, i);
    if (!paging) continue;
    args[at + slot.PAGES] = base + 4 * places[i]!;
    args[at + slot.TYPE] = typeNumber[paging.type];
    args[at + slot.ROWS_AT] = paging.offset;
    args[at + slot.SCALES_AT] = paging.scales;
    args[at + slot.SCALES] = paging.groups;
  }
}

/** Puts the numbers of all pages that a call's rows lie on behind what is in `table`; gives where those of each operand begin. */
export function listPages(call: AttendCall, table: number[]): readonly number[] {
  const places: number[] = [];
  for (let i = 0; i < operandsOf(call); i++) {
    // Parts of one cache lie on the same pages.
    const pages = rowsOf(call, i).paging?.pages;
    let twin = 0;
    while (twin < i && rowsOf(call, twin).paging?.pages !== pages) twin++;
    places.push(twin < i ? places[twin]! : table.length);
    if (pages && twin === i) for (let k = 0; k < pages.length; k++) table.push(numberOf(pages[k]!));
  }
  return places;
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

export function planForward(call: AttendCall): Plan {
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

export function valueWidth(call: AttendCall): number {
  return call.values.reduce((sum, { e }) => sum + e, 0);
}
