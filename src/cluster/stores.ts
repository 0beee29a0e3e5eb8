import { resolve } from "../tensor/node.ts";
import type { Store } from "./store.ts";

/** The store that a word names: a folder, or `s3://bucket/prefix`. Throws FormatError for a bucket that cannot be asked. */
export async function openStore(where: string): Promise<Store> {
  if (where.startsWith("s3:")) return (await import("./bucket.ts")).bucketStore(where);
  return (await import("./folder.ts")).folderStore(resolve(where));
}
