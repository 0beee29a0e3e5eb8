import { normWasm } from "../norm/wasm.ts";
import { ropeWasm } from "../rope/wasm.ts";
import { apart } from "./apart.ts";

export const readyWasm = apart({ norm: normWasm, rope: ropeWasm });
