// PLACEHOLDER until the wasm kernel lands: overwrite this file
export const normWasm = (): never => { throw new Error('internal: not yet'); };
// PLACEHOLDER until the wasm kernel lands: overwrite this file
export const normBackwardWasm = (): never => { throw new Error('internal: not yet'); };
