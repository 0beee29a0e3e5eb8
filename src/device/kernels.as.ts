// Everything the wasm module exports: one kernel per line of an op, and what the threads run between kernels.
export { finish, gather, rest } from "./thread.as";
export { contract, contractEach } from "../ops/einsum/kernel.as";
export { stream } from "../ops/einsum/stream.as";
