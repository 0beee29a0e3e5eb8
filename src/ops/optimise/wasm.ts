// PLACEHOLDER until the wasm kernel lands: overwrite this file
export const squaresWasm = (): never => { throw new Error('internal: not yet'); };
// PLACEHOLDER until the wasm kernel lands: overwrite this file
export const adamwWasm = (): never => { throw new Error('internal: not yet'); };
