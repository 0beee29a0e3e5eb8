// PLACEHOLDER until the wasm kernel lands: overwrite this file
export const ropeWasm = (): never => { throw new Error('internal: not yet'); };
