import type { Variant } from "./define.ts";
import { deltaNet } from "./variant/deltanet.ts";
import { dsa } from "./variant/dsa.ts";
import { mlaFox } from "./variant/forget.ts";
import { fox } from "./variant/fox.ts";
import { gdn } from "./variant/gdn.ts";
import { gla } from "./variant/gla.ts";
import { gqa } from "./variant/gqa.ts";
import { gqla } from "./variant/gqla.ts";
import { gta } from "./variant/gta.ts";
import { kda } from "./variant/kda.ts";
import { kr } from "./variant/kr.ts";
import { mla } from "./variant/mla.ts";
import { s1 } from "./variant/s1.ts";
import { s2 } from "./variant/s2.ts";
import { s3 } from "./variant/s3.ts";
import { mlaStick, stick } from "./variant/stick.ts";
import { tpa } from "./variant/tpa.ts";

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
