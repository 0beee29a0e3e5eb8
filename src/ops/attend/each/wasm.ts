import { addressOf } from "../../../device/address.ts";
import type { WasmDevice } from "../../../device/wasm.ts";
import { Tensor } from "../../../tensor/tensor.ts";
import type { AttendEachKernel } from "../index.ts";
import * as slot from "../slot.ts";
import { listPages, partNumbers, planForward, tellCall, tellPages, threadsFor } from "../wasm.ts";

/** Slots of a call's arguments: four terms and two values at most. */
const SLOTS = slot.OPERANDS + 6 * slot.PER_OPERAND;

/** Several calls in one launch: pieces of one keep a few threads busy where those of another are too few. */
export const attendEachWasm: AttendEachKernel = (calls, outs) => {
  const device = outs[0]!.device as WasmDevice;
  const plans = calls.map(planForward);
  const unfinished = calls.map((call, i) => partNumbers(call, plans[i]!));
  const all = unfinished.reduce((sum, n) => sum + n, 0);
  const parts = all ? new Tensor(device, [all]) : undefined;
  const table: number[] = [];
  const places = calls.map((call) => listPages(call, table));
  device.lend(Int32Array.from(table), (base) => {
    const words = new Float64Array(SLOTS * calls.length);
    let part = addressOf(parts);
    calls.forEach((call, i) => {
      const args = words.subarray(i * SLOTS, (i + 1) * SLOTS);
      tellCall(args, call, plans[i]!, outs[i]!, undefined);
      tellPages(args, call, places[i]!, base);
      args[slot.PARTS] = unfinished[i] ? part : 0;
      part += 4 * unfinished[i]!;
    });
    device.lend(new Int32Array(words.buffer), (first) => {
      const args: number[] = [];
      args[slot.CALLS] = calls.length;
      args[slot.FIRST_CALL] = first;
      args[slot.CALL_BYTES] = 8 * SLOTS;
      device.launch(parts ? ["attendEach", "attendEachMerge"] : "attendEach", args, threadsFor(...calls));
    });
  });
  parts?.free();
};
