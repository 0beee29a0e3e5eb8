// After the first answer was painted: the rest of the page, which lies packed in a script beside it, and then its own script, part by
// part. A part is a script made of the same text as when the page was built, since the page's policy has its hash.
{
  const { currentScript: own } = document;
  /**
   * The text of `page.js` or `run.js`, as an answer. Each is a script that hands over a packed text: of what lies beside it a page
   * from a disk can read scripts alone. Rejects where the file is not there.
   */
  globalThis.unpack = async (file) => {
    const script = Object.assign(document.createElement("script"), { src: `${file}.js?${own.dataset[file]}` });
    const letters = await new Promise((hand, refuse) => {
      // A script's load is told right after it ran.
      script.onload = () => hand(atob(globalThis.packed));
      script.onerror = () =>
        refuse(new Error(`page: got no ${file}.js beside it, expected one; keep its folder whole`));
      document.head.append(script);
    });
    script.remove();
    globalThis.packed = undefined;
    const bytes = new Uint8Array(letters.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw")));
  };
  const run = (text) => {
    const script = document.createElement("script");
    script.textContent = text;
    document.head.append(script);
  };
  const read = async () => {
    const meta = { httpEquiv: "Content-Security-Policy", content: own.dataset.policy };
    document.head.append(Object.assign(document.createElement("meta"), meta));
    const { html, style, opening, parts, first } = await (await globalThis.unpack("page")).json();
    const exported = new Map();
    const require = (name) => {
      if (!exported.has(name)) run(parts[name]);
      return exported.get(name);
    };
    globalThis.part = (name, body) => {
      const exports = {};
      exported.set(name, exports);
      body(require, exports);
    };
    document.head.append(Object.assign(document.createElement("style"), { textContent: style }));
    document.body.insertAdjacentHTML("beforeend", html);
    document.body.prepend(document.getElementById("skip"));
    run(opening);
    requestAnimationFrame(() => setTimeout(require, 0, first));
  };
  const tell = ({ message }) =>
    document.body.append(Object.assign(document.createElement("p"), { textContent: message }));
  // Told once the first frame is on the screen, not when it is handed to what draws it, which may have the processor to itself until then.
  new PerformanceObserver((_, observer) => {
    observer.disconnect();
    void read().catch(tell);
  }).observe({ type: "paint", buffered: true });
}
