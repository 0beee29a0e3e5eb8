import type { Variant } from "./define.ts";
import { gqa } from "./gqa.ts";
import { mla } from "./mla.ts";
import { s1 } from "./s1.ts";
import { s2 } from "./s2.ts";
import { s3 } from "./s3.ts";

/** Every variant there is. Laws, tables and commands go through this list; adding one is a file and a line here. */
export const variants: readonly Variant[] = [gqa, mla, s1, s2, s3];
