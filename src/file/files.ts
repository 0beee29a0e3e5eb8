/** The files that a model consists of, wherever they are: a folder on a disk, what a visitor of a page chose, or what a server has. */
import { FormatError } from "../tensor/error.ts";
import { type ByteSource, blobSource } from "./bytes.ts";

/** Files of one folder, by their names. */
export interface Files {
  /** What errors call the folder. */
  readonly name: string;
  readonly names: ReadonlySet<string>;
  /** Opens one of them. Throws FormatError where it is not there, or cannot be read. */
  open(name: string): Promise<ByteSource>;
}

/** What was chosen or dropped in a page: files, each with its path from the folder that was chosen. */
export interface Chosen {
  readonly path: string;
  readonly file: Blob;
}

/**
 * The files of what was chosen in a page, those that lie deepest in a folder of it left out: a checkpoint is one folder, whose files
 * have its config or are weights. Throws FormatError where nothing was chosen.
 */
export function chosenFiles(chosen: readonly Chosen[]): Files {
  const folderOf = (path: string) => path.slice(0, path.lastIndexOf("/") + 1);
  const depth = (path: string) => path.split("/").length;
  const paths = chosen.map(({ path }) => path).toSorted((a, b) => depth(a) - depth(b) || (a < b ? -1 : 1));
  const first = paths.find((path) => /(^|\/)config\.json$/.test(path)) ?? paths[0];
  if (first === undefined)
    throw new FormatError("files: got none, expected a GGUF file or a folder with config.json; choose one of these");
  const folder = folderOf(first);
  const own = new Map(
    chosen.flatMap(({ path, file }) => (folderOf(path) === folder ? [[path.slice(folder.length), file] as const] : [])),
  );
  const name = folder.slice(0, -1) || (own.size === 1 ? first : "the chosen files");
  return {
    name,
    names: new Set(own.keys()),
    async open(file) {
      const found = own.get(file);
      const called = folder ? `${folder}${file}` : file;
      if (!found)
        throw new FormatError(`${called}: got no such file, expected it beside the others; choose all of them`);
      return blobSource(called, found);
    },
  };
}

/**
 * The name of the GGUF file that a model begins with: the only one, or the first of its parts. Throws FormatError where there is
 * none, or several models.
 */
export function firstGguf({ name, names }: Files): string {
  const all = [...names].filter((file) => file.endsWith(".gguf")).sort();
  const first = all.filter((file) => !/-\d{5}-of-\d{5}\.gguf$/.test(file) || /-00001-of-\d{5}\.gguf$/.test(file));
  const [one] = first;
  if (one === undefined)
    throw new FormatError(
      all.length
        ? `${name}: got ${all[0]}, expected the first of its parts, too; choose all parts`
        : `${name}: got neither config.json nor a GGUF file, expected one of them; choose the whole folder of a model`,
    );
  if (first.length > 1)
    throw new FormatError(`${name}: got the models ${first.slice(0, 3).join(", ")}, expected one; choose one of them`);
  return one;
}
