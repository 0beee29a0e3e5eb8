// PLACEHOLDER until the wasm kernel lands: overwrite this file
export const gateWasm = (): never => { throw new Error('internal: not yet'); };
// PLACEHOLDER until the wasm kernel lands: overwrite this file
export const gateBackwardWasm = (): never => { throw new Error('internal: not yet'); };
