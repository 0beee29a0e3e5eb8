import { combineWasm, updateWasm } from "../add/wasm.ts";
import { biasWasm } from "../bias/wasm.ts";
import { contractAllWasm } from "../einsum/wasm.ts";
import { gateWasm } from "../gate/wasm.ts";
import { mapWasm } from "../map/wasm.ts";
import { multiplyWasm } from "../multiply/wasm.ts";
import { apart } from "./apart.ts";

export const productsWasm = apart(
  {
    bias: biasWasm,
    gate: gateWasm,
    update: updateWasm,
    map: mapWasm,
    multiply: multiplyWasm,
    combine: combineWasm,
  },
  contractAllWasm,
);
