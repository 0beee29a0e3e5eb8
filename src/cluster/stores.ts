import { resolve } from "../tensor/node.ts";
import { folderStore } from "./folder.ts";
import type { Store } from "./store.ts";

/** The store that a word names: a folder. */
export function openStore(where: string): Store {
  return folderStore(resolve(where));
}
