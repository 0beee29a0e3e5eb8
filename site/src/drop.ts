/** Files that are dropped anywhere or chosen: what each is follows from its first bytes, and what is wrong is said in place. */
import { FormatError, parseJson } from "biform/web";
import { byId, messageOf } from "./element.ts";
import { isResult, openResult } from "./report.ts";
import { openConfig, openGguf } from "./source.ts";
import type { State, Store } from "./state.ts";

/** More than any config or result has; of GGUF files only the header is read. */
const longestText = 64 * 2 ** 20;

/** Opens files by choosing and by dropping. */
export function bindFiles(store: Store, goTo: (section: State["at"]) => void): void {
  const opened = (file: File | undefined) => {
    if (file) void open(file, store).then((section) => section && goTo(section));
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
    const [file] = event.dataTransfer?.files ?? [];
    opened(file);
  });
}

/** Opens a file and gives the section that shows it; where it cannot be, says why in place. */
async function open(file: File, store: Store): Promise<State["at"]> {
  const { name, size } = file;
  let place = byId("model-problem");
  try {
    if ((await file.slice(0, 4).text()) === "GGUF") {
      store.change({ at: "plan", ...(await openGguf(file)) });
      return "plan";
    }
    if (size > longestText)
      throw new FormatError(
        `${name}: got ${size} bytes, expected a config.json, a GGUF file or a result; open one of these`,
      );
    const text = await file.text();
    const value = parsed(text);
    if (!isResult(value)) {
      store.change({ at: "plan", ...openConfig(text, name) });
      return "plan";
    }
    place = byId("report-problem");
    openResult(value, name);
    place.textContent = "";
    store.change({ at: "reports" });
    return "reports";
  } catch (error) {
    place.textContent = messageOf(error);
    place.scrollIntoView({ block: "nearest" });
    return "";
  }
}

/** Undefined where the text is no JSON: the reader of configs says so. */
function parsed(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}
