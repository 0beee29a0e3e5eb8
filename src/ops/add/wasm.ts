// PLACEHOLDER until the wasm kernel lands: overwrite this file
export const combineWasm = (): never => { throw new Error('internal: not yet'); };
