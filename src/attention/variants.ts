import type { Variant } from "./define.ts";
import { deltaNet } from "./deltanet.ts";
import { dsa } from "./dsa.ts";
import { mlaFox } from "./forget.ts";
import { fox } from "./fox.ts";
import { gdn } from "./gdn.ts";
import { gla } from "./gla.ts";
import { gqa } from "./gqa.ts";
import { gqla } from "./gqla.ts";
import { gta } from "./gta.ts";
import { kda } from "./kda.ts";
import { kr } from "./kr.ts";
import { mla } from "./mla.ts";
import { s1 } from "./s1.ts";
import { s2 } from "./s2.ts";
import { s3 } from "./s3.ts";
import { mlaStick, stick } from "./stick.ts";
import { tpa } from "./tpa.ts";

/** Every variant there is. Laws, tables and commands go through this list; adding one is a file and a line here. */
export const variants: readonly Variant[] = [
  gqa,
  mla,
  s1,
  s2,
  s3,
  kr,
  tpa,
  gla,
  gqla,
  gta,
  fox,
  mlaFox,
  stick,
  mlaStick,
  dsa,
  deltaNet,
  gdn,
  kda,
];
