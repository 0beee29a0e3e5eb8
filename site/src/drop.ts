/** Files that are dropped anywhere or chosen: what each is follows from its first bytes, and what is wrong is said in place. */
import { FormatError, parseJson } from "biform/web";
import { byId, messageOf } from "./element.ts";
import { isPlannerTab } from "./planner.ts";
import { openConfig, openGguf } from "./source.ts";
import type { Store, Tab } from "./state.ts";

/** More than any config or result has; of GGUF files only the header is read. */
const longestText = 64 * 2 ** 20;

/** A file that was dropped, and where it lies in a folder that was. */
export interface Dropped {
  readonly path: string;
  readonly file: File;
}

/** Tabs that take what is dropped while they are open. */
const takers = new Map<Tab, (files: readonly Dropped[]) => void>();

/** Gives a tab what is dropped while it is open, folders by the files in them. */
export function takeFiles(tab: Tab, take: (files: readonly Dropped[]) => void): void {
  takers.set(tab, take);
}

/** Opens files by choosing and by dropping. */
export function bindFiles(store: Store): void {
  const opened = (file: File | undefined) => {
    if (file) void open(file, store);
  };
  for (const id of ["file", "report"]) {
    const field = byId<HTMLInputElement>(id);
    field.addEventListener("change", () => {
      const [file] = field.files ?? [];
      opened(file);
      // The same file can be chosen again.
      field.value = "";
    });
  }
  const cover = byId("drop");
  const carries = ({ dataTransfer }: DragEvent) => dataTransfer?.types.includes("Files") ?? false;
  let inside = 0;
  const entered = (change: number) => {
    inside = Math.max(0, inside + change);
    cover.hidden = inside === 0;
  };
  addEventListener("dragenter", (event) => carries(event) && entered(1));
  addEventListener("dragleave", (event) => carries(event) && entered(-1));
  addEventListener("dragover", (event) => carries(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    entered(-inside);
    const take = takers.get(store.now.tab);
    if (take) void droppedFiles(event.dataTransfer!).then(take);
    else opened(event.dataTransfer?.files[0]);
  });
}

/** Files of one folder, and what a folder has folders in it for a model has no use for. */
const DEEPEST = 2;
/** More files than any checkpoint has. */
const MOST = 2000;

/** All that was dropped, folders by the files in them. Entries are asked for before anything is awaited: afterwards a drop has none. */
async function droppedFiles({ items }: DataTransfer): Promise<Dropped[]> {
  const entries = [...items]
    .map((item) => item.webkitGetAsEntry() ?? item.getAsFile())
    .filter((entry) => entry !== null);
  const found: Dropped[] = [];
  const add = async (entry: FileSystemEntry, depth: number): Promise<void> => {
    if (found.length >= MOST) return;
    if (entry.isFile) {
      const file = await new Promise<File>((hand, refuse) => (entry as FileSystemFileEntry).file(hand, refuse));
      found.push({ path: entry.fullPath.replace(/^\//, ""), file });
    } else if (depth < DEEPEST) {
      const reader = (entry as FileSystemDirectoryEntry).createReader();
      // A hundred at a time come, and none when all were there.
      for (;;) {
        const more = await new Promise<FileSystemEntry[]>((hand, refuse) => reader.readEntries(hand, refuse));
        if (more.length === 0) break;
        for (const inner of more) await add(inner, depth + 1);
      }
    }
  };
  for (const entry of entries)
    if (entry instanceof File) found.push({ path: entry.name, file: entry });
    else await add(entry, 0);
  return found;
}

/** Opens a file in the tab that shows it; where it cannot be, says why in place. */
async function open(file: File, store: Store): Promise<void> {
  const { name, size } = file;
  let place = byId("model-problem");
  let tab = plannerTab(store);
  try {
    if ((await file.slice(0, 4).text()) === "GGUF") {
      store.change({ tab, ...(await openGguf(file)) });
      return;
    }
    if (size > longestText)
      throw new FormatError(
        `${name}: got ${size} bytes, expected a config.json, a GGUF file or a result; open one of these`,
      );
    const text = await file.text();
    const value = parsed(text);
    if (!isResult(value)) {
      store.change({ tab, ...openConfig(text, name) });
      return;
    }
    place = byId("report-problem");
    tab = "reports";
    (await import("./report.ts")).openResult(value, name);
    place.textContent = "";
    store.change({ tab });
  } catch (error) {
    store.change({ tab });
    place.textContent = messageOf(error);
    place.scrollIntoView({ block: "nearest" });
  }
}

/** Whether parsed JSON means to be a result of one of the commands. */
function isResult(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  return String((value as { format?: unknown }).format).startsWith("biform") || "variants" in value;
}

/** The tab where a model is shown: the one that is open, if it is about one. */
const plannerTab = ({ now: { tab } }: Store): Tab => (isPlannerTab(tab) ? tab : "memory");

/** Undefined where the text is no JSON: the reader of configs says so. */
function parsed(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}
