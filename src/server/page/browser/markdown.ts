/** Markdown to elements. What a model writes is hostile: a list of tags and attributes says all that can come of it. */
import DOMPurify, { type Config } from "dompurify";
import { Marked, type Token } from "marked";
import { make, makeCopyButton } from "./element.ts";

const escapeText = (text: string) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/** Tags that models write for want of Markdown; every other one is shown as it was written. */
const written = /^<\/?(?:b|i|u|s|br|sub|sup|kbd|mark)\s*\/?>$/i;

/** Formulas between these stay as written: nothing within is Markdown. Nothing here draws them. */
const formulas = [/^\\\(.+?\\\)/s, /^\\\[.+?\\\]/s, /^\$\$.+?\$\$/s];

const marked = new Marked({
  gfm: true,
  // Models break lines where they mean to.
  breaks: true,
  renderer: {
    html: ({ text }) => (written.test(text.trim()) ? text : escapeText(text)),
    // No picture is loaded: what it shows, and where it is, is a link.
    image: ({ href, text }) => `<a href="${escapeText(href)}">${escapeText(text || href)}</a>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
  extensions: [
    {
      name: "formula",
      level: "inline",
      start: (text) => text.search(/\\[([]|\$\$/),
      tokenizer(text) {
        const raw = formulas.map((form) => form.exec(text)?.[0]).find((found) => found !== undefined);
        return raw === undefined ? undefined : { type: "formula", raw };
      },
      renderer: ({ raw }) => `<code class="formula">${escapeText(raw)}</code>`,
    },
  ],
});

const allowed: Config & { RETURN_DOM_FRAGMENT: true } = {
  ALLOWED_TAGS: [
    ...["p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "pre", "code", "blockquote", "hr", "br", "a"],
    ...["em", "strong", "del", "b", "i", "u", "s", "sub", "sup", "kbd", "mark"],
    ...["table", "thead", "tbody", "tr", "th", "td"],
  ],
  ALLOWED_ATTR: ["href", "class", "start", "align"],
  // Their values are no addresses.
  ADD_URI_SAFE_ATTR: ["start", "align"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  RETURN_DOM_FRAGMENT: true,
};

/** The blocks of a text, one after the other; their `raw` together is the text. Lines must end in "\n" alone. */
export const readBlocks = (text: string): Token[] => marked.lexer(text);

/** A block as HTML that is not yet safe: to see whether it changed. */
export const writeBlock = (block: Token): string => marked.parser([block]);

/** The elements of that HTML, safe, with what this page adds: buttons, names, places that scroll. */
export function drawBlock(html: string): DocumentFragment {
  const fragment = DOMPurify.sanitize(html, allowed);
  // Classes are this page's own, but for what Markdown says of code.
  for (const element of fragment.querySelectorAll("[class]"))
    if (!/^(?:formula|language-\S+)$/.test(element.className)) element.removeAttribute("class");
  for (const link of fragment.querySelectorAll("a")) {
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
    // Where it leads, since a model may call it anything.
    link.title = link.href;
  }
  for (const code of fragment.querySelectorAll<HTMLElement>("pre > code")) frameCode(code);
  for (const table of fragment.querySelectorAll("table")) {
    const frame = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" });
    table.replaceWith(frame);
    frame.append(table);
  }
  return fragment;
}

/** A block of code under a bar that says its language and copies it. */
function frameCode(code: HTMLElement): void {
  const pre = code.parentElement!;
  const language = /^language-([\w+#.-]{1,30})$/.exec(code.className)?.[1] ?? "";
  const name = language ? `Code, ${language}` : "Code";
  const frame = make("div", { class: "code" });
  code.removeAttribute("class");
  const copy = makeCopyButton(() => code.textContent, `Copy: ${name}`);
  pre.replaceWith(frame);
  pre.tabIndex = 0;
  pre.role = "region";
  pre.ariaLabel = name;
  frame.append(make("div", { class: "bar" }, make("span", {}, language || "code"), copy), pre);
}
