// Everything the wasm module exports: the kernels of every op, and what the threads run between kernels.
export { finish, gather, rest } from "./thread.as";
export { combine } from "../ops/add/kernel.as";
export { attend } from "../ops/attend/kernel.as";
export { attendBackward } from "../ops/attend/backward.as";
export { deltaBackward } from "../ops/delta/backward.as";
export { deltaChunked } from "../ops/delta/kernel.as";
export { deltaRecurrent } from "../ops/delta/recurrent.as";
export { contract } from "../ops/einsum/kernel.as";
export { stream } from "../ops/einsum/stream.as";
export { gatherRows, scatterRows } from "../ops/embed/kernel.as";
export { gate, gateBackward } from "../ops/gate/kernel.as";
export { loss, lossBackward } from "../ops/loss/kernel.as";
export { norm, normBackward } from "../ops/norm/kernel.as";
export { adamw, squares } from "../ops/optimise/kernel.as";
export { rope } from "../ops/rope/kernel.as";
