/** The page's script in parts inside one file: the browser reads a part when it is asked for, and not before. */

/** One part: a function under its name, whose imports are of other parts. */
export function wrapPart(name: string, code: string): string {
  // Nothing in a script may look like its own end.
  const safe = code.replaceAll("</script", "<\\/script").replaceAll("<!--", "\\x3C!--");
  return `part(${JSON.stringify(name)}, (require, exports) => {"use strict";\n${safe}\n});`;
}

/**
 * The script that reads parts, beginning with `first` after the first frame was painted. A part lies in the page as text of no
 * type that runs; a script made of the same text runs, since the page's policy has its hash.
 */
export function readParts(first: string): string {
  return `{
  const read = new Map();
  const require = (name) => {
    if (!read.has(name)) {
      const script = document.createElement("script");
      script.textContent = document.getElementById(name).textContent;
      document.head.append(script);
    }
    return read.get(name);
  };
  globalThis.part = (name, run) => {
    const exports = {};
    read.set(name, exports);
    run(require, exports);
  };
  requestAnimationFrame(() => setTimeout(require, 0, ${JSON.stringify(first)}));
}`;
}
