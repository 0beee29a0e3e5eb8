/** How engines are started, as people type it: by the names of the engines' own flags. The command line and the page read it alike. */
import { ShapeError } from "../../tensor/error.ts";
import { dtypeNames, dtypeOf } from "../amount.ts";
import type { EngineSettings } from "./engine.ts";
import { type CacheType, ggmlNames } from "./type.ts";

/** The most of anything that is counted here. */
const MOST = 2 ** 20;

type Read = (subject: string, text: string) => Partial<EngineSettings>;

const whole =
  (key: "sequences" | "batchTokens" | "tensor" | "context" | "drafts", least = 1): Read =>
  (subject, text) => {
    const value = text === "" ? Number.NaN : Number(text);
    if (!Number.isInteger(value) || value < least || value > MOST)
      throw new ShapeError(`${subject}: got "${text}", expected a whole number from ${least} to ${MOST}`);
    return { [key]: value };
  };

/** A type of GGML's by its own name, or one of Biform's. */
function cacheTypeOf(subject: string, text: string): CacheType {
  const name = text.trim().toLowerCase();
  const found = ggmlNames.find((known) => known === name);
  if (found) return found;
  if (dtypeNames.includes(name)) return dtypeOf(subject, name);
  throw new ShapeError(`${subject}: got "${text}", expected f16, bf16, f32, fp8, q8, q4 or ${ggmlNames.join(", ")}`);
}

const flag =
  (settings: Partial<EngineSettings>): Read =>
  (subject, text) => {
    if (text !== "") throw new ShapeError(`${subject}: got "${text}", expected nothing; leave the = away`);
    return settings;
  };

const reads: Readonly<Record<string, Read>> = {
  np: whole("sequences"),
  ub: whole("batchTokens"),
  ctk: (subject, text) => ({ keyType: cacheTypeOf(subject, text) }),
  ctv: (subject, text) => ({ valueType: cacheTypeOf(subject, text) }),
  tp: whole("tensor"),
  cp: whole("context"),
  drafts: whole("drafts", 0),
  unified: flag({ unified: true }),
  "swa-full": flag({ wholeWindows: true }),
  "no-prefixes": flag({ prefixes: false }),
};

/** What `startOf` takes, in a line. */
export const startText = "np=4, ub=2048, ctk=q8_0, ctv=q4_0, tp=8, cp=2, drafts=3, unified, swa-full, no-prefixes";

/**
 * Settings of engines from text as "np=4,ctk=q8_0,ctv=f16,ub=2048", by llama.cpp's flags (np slots of the whole context each, ub tokens
 * of a physical batch, ctk and ctv types of keys and values, unified, swa-full) and vLLM's (tp and cp ranks, of which one is counted;
 * drafts proposed per step, no-prefixes). `subject` stands before a complaint. Throws ShapeError for names that are none, twice, or
 * with values that make no sense.
 */
export function startOf(subject: string, text: string): Partial<EngineSettings> {
  const found = new Map<string, Partial<EngineSettings>>();
  for (const part of text.split(",")) {
    const [name = "", value = "", ...more] = part.split("=").map((word) => word.trim());
    const read = Object.hasOwn(reads, name) && more.length === 0 ? reads[name] : undefined;
    if (!read) throw new ShapeError(`${subject}: got "${part.trim()}", expected some of ${startText}`);
    if (found.has(name)) throw new ShapeError(`${subject}: got ${name} twice, expected it once; leave one away`);
    found.set(name, read(`${subject} ${name}`, value));
  }
  return Object.assign({}, ...found.values());
}
