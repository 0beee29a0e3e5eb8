// Slots of the arguments of attendFactored after those of attend with one term and one value. Compiled both as TypeScript and
// as AssemblyScript.
import { OPERANDS, PER_OPERAND } from "../attend/slot.ts";

/** Ranks of keys and values. */
export const KEY_RANK = OPERANDS + 2 * PER_OPERAND;
export const VALUE_RANK = KEY_RANK + 1;
/** Where the records of ak, bk, av and bv begin. */
export const FACTORS = VALUE_RANK + 1;

// Within a record: the address, and the step from token to token, 0 where the factor is the same for all.
export const FACTOR = 0;
export const STEP = 1;
/** Slots of a record. */
export const PER_FACTOR = 2;
