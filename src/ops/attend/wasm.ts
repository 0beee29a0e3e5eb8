// PLACEHOLDER until the wasm kernel lands: overwrite this file
export const attendWasm = (): never => { throw new Error('internal: not yet'); };
// PLACEHOLDER until the wasm kernel lands: overwrite this file
export const attendBackwardWasm = (): never => { throw new Error('internal: not yet'); };
