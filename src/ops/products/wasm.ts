import { updateWasm } from "../add/wasm.ts";
import { biasWasm } from "../bias/wasm.ts";
import { contractWasm } from "../einsum/wasm.ts";
import { gateWasm } from "../gate/wasm.ts";
import { apart } from "./apart.ts";

export const productsWasm = apart({ contract: contractWasm, bias: biasWasm, gate: gateWasm, update: updateWasm });
