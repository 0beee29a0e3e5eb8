import { addressOf } from "../../../device/address.ts";
import type { WasmDevice } from "../../../device/wasm.ts";
import { Tensor } from "../../../tensor/tensor.ts";
import type { AttendCall, AttendEachKernel } from "../index.ts";
import * as slot from "../slot.ts";
import {
  argumentsOf,
  operandsOf,
  type Plan,
  planForward,
  recordOf,
  rowsOf,
  tableOf,
  tellPages,
  threadsFor,
  valueWidth,
} from "../wasm.ts";

/** Slots of a call's arguments: four terms and two values at most. */
const SLOTS = slot.OPERANDS + 6 * slot.PER_OPERAND;

/** Several calls in one launch: pieces of one keep a few threads busy where those of another are too few. */
export const attendEachWasm: AttendEachKernel = (calls, outs) => {
  const device = outs[0]!.device as WasmDevice;
  const plans = calls.map(planForward);
  const parts = calls.map((call, i) => partsOf(device, call, plans[i]!));
  const tables = calls.map(tableOf);
  const pages = Int32Array.from(tables.flatMap(({ table }) => [...table]));
  device.lend(pages, (base) => {
    const words = new Float64Array(SLOTS * calls.length);
    let from = base;
    calls.forEach((call, i) => {
      const { places, table } = tables[i]!;
      const args = argumentsOf(call, plans[i]!, outs[i]!, undefined);
      args[slot.PARTS] = addressOf(parts[i]);
      for (let k = 0; k < operandsOf(call); k++) {
        const { paging } = rowsOf(call, k);
        if (paging) tellPages(args, recordOf(k), paging, from + 4 * places.get(paging.pages)!);
      }
      words.set(args, i * SLOTS);
      from += 4 * table.length;
    });
    device.lend(new Int32Array(words.buffer), (first) => {
      const args: number[] = [];
      args[slot.CALLS] = calls.length;
      args[slot.FIRST_CALL] = first;
      args[slot.CALL_BYTES] = 8 * SLOTS;
      const merged = parts.some((own) => own !== undefined);
      device.launch(merged ? ["attendEach", "attendEachMerge"] : "attendEach", args, threadsFor(...calls));
    });
  });
  for (const own of parts) own?.free();
};

/** Memory for what is unfinished of a call, where it is done in pieces of the keys. */
function partsOf(device: WasmDevice, call: AttendCall, plan: Plan): Tensor | undefined {
  if (!plan.few && plan.keyPieces === 1) return undefined;
  return new Tensor(device, [call.batch * call.t * call.h * plan.keyPieces, valueWidth(call) + 2]);
}
