// PLACEHOLDER until the wasm kernel lands: overwrite this file
export const lossWasm = (): never => { throw new Error('internal: not yet'); };
// PLACEHOLDER until the wasm kernel lands: overwrite this file
export const lossBackwardWasm = (): never => { throw new Error('internal: not yet'); };
