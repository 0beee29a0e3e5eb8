// docs/api.md: every public name of both entries with its doc comment and declaration, read from the emitted types in dist/.
import { readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { layers } from "./imports.ts";

const dist = fileURLToPath(new URL("../dist", import.meta.url));
const read = (module: string) => readFileSync(join(dist, module), "utf8");

/** A name that a module gives: where it is declared, and under which name there. */
interface Export {
  readonly name: string;
  readonly module: string;
  readonly own: string;
}

const reexport = /^export (?:type )?(?:\{([^}]*)\}|\*) from "(.*?)"/gm;
const declared = /^export (?:declare )?(?:abstract )?(?:function|class|const|interface|type) (\w+)/gm;

/** All names that a module gives, those of other modules followed to their declaration. */
function exportsOf(module: string): Export[] {
  const text = read(module);
  const own = [...new Set([...text.matchAll(declared)].map(([, name]) => name!))];
  const others = [...text.matchAll(reexport)].flatMap(([, list, from]) => {
    const target = posix.join(posix.dirname(module), from!.replace(/\.[jt]s$/, ".d.ts"));
    const given = exportsOf(target);
    if (list === undefined) return given;
    return list.split(",").flatMap((item) => {
      const [inner, outer = inner] = item
        .replace(/^\s*type\s/, "")
        .split(" as ")
        .map((word) => word.trim());
      if (!inner) return [];
      const found = given.find(({ name }) => name === inner);
      if (!found) throw new Error(`api: got no declaration of ${inner} in ${target}, expected one`);
      return [{ ...found, name: outer! }];
    });
  });
  return [...own.map((name) => ({ name, module, own: name })), ...others];
}

/** The doc comment and the declaration, all overloads of a function; schemas of JSON are cut short, since they are published. */
function declarationOf({ name, module, own }: Export): string {
  // A comment begins what follows, unless it is of an alternative of a union.
  const begun = "^/\\*\\*(?!(?:(?!\\*/)[\\s\\S])*\\*/\\n \\|)";
  const pattern = new RegExp(
    `(?:^/\\*\\*(?:(?!\\*/)[\\s\\S])*\\*/\\n)?^export (?:declare )?(?:abstract )?(?:function|class|const|interface|type) ${own}\\b[\\s\\S]*?(?=^export |${begun}|^declare |^import |^type |^interface |(?![\\s\\S]))`,
    "gm",
  );
  const found = (read(module).match(pattern) ?? []).map((text) => text.trim());
  if (!found[0]?.startsWith("/**"))
    throw new Error(`api: got no doc comment of ${own} in src/${module.replace(".d.ts", ".ts")}, expected one`);
  const text = found.join("\n").replace(/^export (declare )?/gm, "");
  const short = text.replace(/(: z\.ZodObject<)\{\n[\s\S]*/, "$1...>;");
  return name === own ? short : short.replace(new RegExp(`\\b${own}\\b`), name);
}

const folderOf = (module: string) => module.split("/")[0]!;
const folders = layers.flat();
folders.splice(folders.indexOf("tokenizer") + 1, 0, "data");

/** One section per folder, in the order of imports; `above` are entries whose names are not told again. */
function chapterOf(entry: string, above: readonly Export[]): string {
  const known = (of: Export) => above.find(({ name }) => name === of.name);
  const names = exportsOf(`${entry}.d.ts`);
  for (const of of names) {
    const other = known(of);
    if (other && (other.module !== of.module || other.own !== of.own))
      throw new Error(`api: got two meanings of ${of.name}, in ${other.module} and ${of.module}, expected one`);
  }
  const own = names.filter((of) => !known(of));
  const sections = folders.flatMap((folder) => {
    const here = own.filter(({ module }) => folderOf(module) === folder);
    if (!here.length) return [];
    return `### ${folder}\n\n\`\`\`ts\n${here.map(declarationOf).join("\n\n")}\n\`\`\`\n`;
  });
  const shared = names.filter(known).map(({ name }) => `\`${name}\``);
  const same = shared.length ? `As in \`biform\`: ${shared.toSorted().join(", ")}.\n\n` : "";
  return same + sections.join("\n");
}

/** The text of docs/api.md. Throws for a public name without a doc comment, and for one that means two things. */
export function apiText(): string {
  return `# Public API

Generated from the types and their comments by \`npm run docs\`, in the order in which folders build on each other. Shapes are row-major, \`[t, h, e]\` has t first. Errors are of three kinds: ShapeError (sizes, axes or a spec that do not fit together), FormatError (a file, text or setting that is not what it claims to be), DeviceError (what this machine cannot do).

- [biform](#biform): the library in Node.
- [biform/web](#biformweb): what runs in a page; nothing in it needs Node.

## biform

${chapterOf("index", [])}
## biform/web

${chapterOf("web", exportsOf("index.d.ts"))}`;
}
