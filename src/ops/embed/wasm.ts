// PLACEHOLDER until the wasm kernel lands: overwrite this file
export const gatherWasm = (): never => { throw new Error('internal: not yet'); };
// PLACEHOLDER until the wasm kernel lands: overwrite this file
export const scatterWasm = (): never => { throw new Error('internal: not yet'); };
