// After the first answer was painted: the rest of the page, which lies packed in it, and then its script, part by part. A part is
// a script made of the same text as when the page was built, since the page's policy has its hash.
{
  const packed = document.currentScript.previousSibling;
  const run = (text) => {
    const script = document.createElement("script");
    script.textContent = text;
    document.head.append(script);
  };
  const unpack = async () => {
    const letters = atob(packed.data);
    packed.remove();
    const bytes = new Uint8Array(letters.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
    const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    const { html, style, opening, parts, first } = await new Response(plain).json();
    const read = new Map();
    const require = (name) => {
      if (!read.has(name)) run(parts[name]);
      return read.get(name);
    };
    globalThis.part = (name, body) => {
      const exports = {};
      read.set(name, exports);
      body(require, exports);
    };
    document.head.append(Object.assign(document.createElement("style"), { textContent: style }));
    document.body.insertAdjacentHTML("beforeend", html);
    run(opening);
    requestAnimationFrame(() => setTimeout(require, 0, first));
  };
  // The first frame is painted between these two.
  requestAnimationFrame(() => requestAnimationFrame(unpack));
}
