import type { z } from "zod";

/** Where the runs of an experiment leave what they found: a folder that all machines see, or a bucket. */

/** Names are paths with "/", whatever keeps them. */
export interface Store {
  /** As the user named it. */
  readonly where: string;
  /** What stands under a name, or undefined. Throws DeviceError where it cannot be reached. */
  read(name: string): Promise<Uint8Array | undefined>;
  /** Puts the whole of it there at once, over what was there. */
  write(name: string, text: string): Promise<void>;
  /** Puts it there at once where there was nothing; says whether it did. Of several that try at a time one succeeds. */
  create(name: string, text: string): Promise<boolean>;
  /** The names that begin with this one. */
  list(prefix: string): Promise<string[]>;
  /** A folder on this machine for a run's checkpoint, with what was kept of it. */
  openFolder(name: string): Promise<string>;
  /** Makes what is in that folder outlast this machine. */
  keepFolder(name: string): Promise<void>;
  /** Forgets it. */
  dropFolder(name: string): Promise<void>;
}

/** What a kept file says; undefined where there is none, or it is torn or of another shape. */
export function parseStored<T>(schema: z.ZodType<T>, bytes: Uint8Array | undefined): T | undefined {
  if (!bytes) return undefined;
  try {
    return schema.safeParse(JSON.parse(new TextDecoder().decode(bytes))).data;
  } catch {
    return undefined;
  }
}
