/** Draws MLA's two forms as one picture, whose parts move from one side to the other. */
import { whole } from "biform/web";
import { type Edge, edges, extent, type FormName, frames, type Layout, type Node, nodes, type Side } from "./graph.ts";
import type { Question } from "./proof.ts";

const svgName = "http://www.w3.org/2000/svg";
type Attributes = Readonly<Record<string, string | number>>;

function svg<K extends keyof SVGElementTagNameMap>(
  name: K,
  attributes: Attributes = {},
  ...children: readonly (SVGElement | string)[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS(svgName, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  element.append(...children);
  return element;
}

/** Text with what follows ^ raised, as papers set it. */
function mathematics(label: string): SVGTSpanElement[] {
  return label.split(" ").flatMap((word, at) => {
    const [base = "", raised] = word.split("^");
    const first = svg("tspan", { class: /^[a-z]$/i.test(base) ? "letter" : "" }, at ? ` ${base}` : base);
    if (!raised) return [first];
    // The next word comes down again.
    return [first, svg("tspan", { class: "raised", dy: -5 }, raised), svg("tspan", { dy: 5 }, "\u200b")];
  });
}

interface Box {
  readonly width: number;
  readonly height: number;
}

/** Sheets of a stack, one for a head, as many as the eye tells apart. */
const sheets = ({ axes }: Node, { h }: Question) => (axes?.includes("h") ? Math.min(h, 4) : 1);
const shift = 4;

const labelOf = ({ label }: Node, form: FormName) => (typeof label === "string" ? label : label[form]);

/** A node's name, or that in each form where they differ. */
function symbols(node: Node, attributes: Attributes): SVGElement[] {
  const text = (form: FormName) => svg("text", { class: "symbol", ...attributes }, ...mathematics(labelOf(node, form)));
  if (typeof node.label === "string") return [text("expanded")];
  return (["expanded", "absorbed"] as const).map((form) => svg("g", { class: "named", "data-only": form }, text(form)));
}

/** Areas follow sizes by their square roots, so that 16 and 512 fit one picture. */
function boxOf(node: Node, question: Question): Box {
  if (node.shape === "weight") return { width: 62, height: 36 };
  if (node.shape === "op") return { width: node.id === "softmax" ? 84 : 74, height: 36 };
  const last = node.axes!.at(-1)!;
  const dims = last === "d" ? 64 : question[last as keyof Question];
  return {
    width: dims === 0 ? 0 : Math.min(112, Math.max(14, 10 * Math.sqrt(dims))),
    height: node.axes![0] === "s" ? 44 : 18,
  };
}

function drawTensor(node: Node, question: Question): SVGElement[] {
  const { width, height } = boxOf(node, question);
  const count = sheets(node, question);
  return Array.from({ length: count }, (_, i) => {
    const off = (count - 1) / 2 - i;
    return svg("rect", {
      class: "sheet",
      x: -width / 2 + off * shift,
      y: -height / 2 - off * shift,
      width,
      height,
      rx: 2,
    });
  });
}

/** Sizes in letters and in numbers. */
export function sizesText(axes: NonNullable<Node["axes"]>, question: Question): { letters: string; numbers: string } {
  const cached = question.tokens >> 1;
  const size = (letter: (typeof axes)[number]) =>
    letter === "d"
      ? 64
      : letter === "t"
        ? question.tokens - cached
        : letter === "s"
          ? question.tokens
          : question[letter];
  return { letters: axes.join(" "), numbers: axes.map((letter) => whole(size(letter))).join(" × ") };
}

function drawNode(node: Node, question: Question): SVGGElement {
  const { width, height } = boxOf(node, question);
  const group = svg("g", { class: `node ${node.shape} ${node.kind}`, "data-id": node.id });
  if (node.shape === "tensor") {
    const rise = ((sheets(node, question) - 1) / 2) * shift;
    group.append(...drawTensor(node, question));
    const { letters, numbers } = sizesText(node.axes!, question);
    if (node.beside) {
      const x = -width / 2 - rise - 8;
      group.append(
        ...symbols(node, { class: "symbol end", x, y: -7 }),
        svg("text", { class: "sizes end", x, y: 8 }, numbers),
        svg("text", { class: "letters end", x, y: 20 }, letters),
      );
    } else
      group.append(
        ...symbols(node, { y: -height / 2 - rise - 6 }),
        svg("text", { class: "sizes", y: height / 2 + rise + 13 }, numbers),
        svg("text", { class: "letters", y: height / 2 + rise + 25 }, letters),
      );
    if (node.note) group.append(svg("text", { class: "letters", y: -height / 2 - rise - 23 }, node.note));
    return group;
  }
  group.append(
    svg("rect", { class: "tile", x: -width / 2, y: -height / 2, width, height, rx: node.shape === "op" ? 18 : 5 }),
    ...symbols(node, { y: 5 }),
  );
  if (node.axes) {
    const { letters, numbers } = sizesText(node.axes, question);
    group.append(
      svg("text", { class: "sizes", y: height / 2 + 13 }, numbers),
      svg("text", { class: "letters", y: height / 2 + 25 }, letters),
    );
  }
  return group;
}

const directions: Readonly<Record<Side, readonly [number, number]>> = {
  left: [-1, 0],
  right: [1, 0],
  top: [0, -1],
  bottom: [0, 1],
};

const byId = new Map(nodes.map((node) => [node.id, node]));

/** The way of an arrow in one form: a curve that leaves and arrives square to the sides. */
function pathOf(edge: Edge, layout: Layout, form: FormName, question: Question): string {
  const usual: readonly [Side, Side] = layout === "wide" ? ["right", "left"] : ["bottom", "top"];
  const sides = edge[layout] ?? usual;
  const end = (at: 0 | 1): [x: number, y: number] => {
    const node = byId.get(at ? edge.to : edge.from)!;
    const [x, y] = node[layout][form];
    const { width, height } = boxOf(node, question);
    const rise = node.shape === "tensor" ? ((sheets(node, question) - 1) / 2) * shift : 0;
    const [dx, dy] = directions[sides[at]];
    // Names and sizes stand above and below; arrows begin and end behind them.
    const label = node.shape !== "op" && (node.axes || node.shape === "tensor") && !node.beside && dy !== 0;
    const clear = label ? (dy > 0 ? 28 : node.shape === "tensor" ? 20 : 2) : 3;
    const off = edge.off?.[at] ?? 0;
    return [
      x + dx * (width / 2 + rise + clear) + (dy ? off : 0),
      y + dy * (height / 2 + rise + clear) + (dx ? off : 0),
    ];
  };
  const [[x1, y1], [x2, y2]] = [end(0), end(1)];
  const [[ax, ay], [bx, by]] = [directions[sides[0]], directions[sides[1]]];
  const turns = (ax !== 0) !== (bx !== 0);
  const reach = turns
    ? [Math.abs(ax ? x2 - x1 : y2 - y1) * 0.6, Math.abs(bx ? x2 - x1 : y2 - y1) * 0.6]
    : [Math.abs(ax ? x2 - x1 : y2 - y1) / 2, Math.abs(ax ? x2 - x1 : y2 - y1) / 2];
  const r = (value: number) => Math.round(value * 10) / 10;
  return `M${r(x1)},${r(y1)}C${r(x1 + ax * reach[0]!)},${r(y1 + ay * reach[0]!)},${r(x2 + bx * reach[1]!)},${r(y2 + by * reach[1]!)},${r(x2)},${r(y2)}`;
}

/** The picture, and the way to bring it into a form. */
export interface Figure {
  readonly element: SVGSVGElement;
  show(form: FormName): void;
}

let figures = 0;

/** Draws the picture at the sizes of a question. `words` says it for those who do not see it. */
export function drawFigure(
  question: Question,
  layout: Layout,
  words: (form: FormName) => {
    readonly title: string;
    readonly description: string;
    readonly kept: Readonly<Record<"cache" | "unfolded", string>>;
  },
): Figure {
  const id = `forms-${figures++}`;
  const [width, height] = extent[layout];
  const title = svg("title", { id: `${id}-title` });
  const description = svg("desc", { id: `${id}-desc` });
  const absent = (node: Node | Edge) => "axes" in node && node.axes?.includes("r") === true && question.r === 0;
  const hidden = new Set(nodes.filter(absent).map((node) => node.id));
  if (question.r === 0) for (const name of ["wqr", "wkr", "rotary"]) hidden.add(name);
  const shown = nodes.filter((node) => !hidden.has(node.id));
  const kinds = ["query", "latent", "position", "uk", "uv", "plain"] as const;
  const heads = kinds.map((kind) =>
    svg(
      "marker",
      {
        id: `${id}-${kind}`,
        class: kind,
        viewBox: "0 0 8 8",
        refX: 7,
        refY: 4,
        markerWidth: 7,
        markerHeight: 7,
        orient: "auto",
        markerUnits: "userSpaceOnUse",
      },
      svg("path", { d: "M0,0.5L8,4L0,7.5Z" }),
    ),
  );
  const boxes = frames.map((frame) => {
    const [x, y, w, h] = frame[layout];
    const group = svg("g", { class: `frame ${frame.id}`, "data-only": frame.only ?? "" });
    group.append(svg("rect", { x, y, width: w, height: h, rx: 10 }));
    return group;
  });
  const lines = edges
    .filter(({ from, to }) => !hidden.has(from) && !hidden.has(to))
    .map((edge) => {
      const form = edge.only ?? "expanded";
      const path = svg("path", {
        id: `${id}-${edge.from}-${edge.to}`,
        d: pathOf(edge, layout, form, question),
        "marker-end": `url(#${id}-${edge.kind})`,
      });
      const group = svg("g", { class: `edge ${edge.kind}`, "data-only": edge.only ?? "" }, path);
      if (edge.label && layout === "wide")
        group.append(
          svg(
            "text",
            { class: "along", dy: edge.off![0] < 0 ? -6 : 15 },
            svg("textPath", { href: `#${id}-${edge.from}-${edge.to}`, startOffset: 44 }, edge.label),
          ),
        );
      return group;
    });
  const captions = frames.map((frame) => {
    const [x, y, w, h] = frame[layout];
    const inside = frame.id === "score";
    const text = inside ? "score" : words("expanded").kept[frame.id as "cache"];
    const place = inside
      ? { x: x + 8, y: y + 16 }
      : { x: x + w / 2, y: frame.id === "unfolded" && layout === "wide" ? y + h + 16 : y - 8 };
    const group = svg("g", { class: `frame ${frame.id}`, "data-only": frame.only ?? "" });
    group.append(svg("text", { class: inside ? "caption start" : "caption", ...place }, text));
    return group;
  });
  const parts = shown.map((node) => ({ node, group: drawNode(node, question) }));
  const [plus] = layout === "wide" ? [[711, 306]] : [[180, 566]];
  const element = svg(
    "svg",
    {
      viewBox: `0 0 ${width} ${height}`,
      class: `forms ${layout}`,
      role: "img",
      "aria-labelledby": `${id}-title ${id}-desc`,
    },
    title,
    description,
    svg("defs", {}, ...heads),
    ...boxes,
    ...lines,
    ...captions,
    ...(question.r ? [svg("text", { class: "plus", x: plus![0]!, y: plus![1]! }, "+")] : []),
    ...parts.map(({ group }) => group),
  );
  return {
    element,
    show(form) {
      element.dataset.form = form;
      ({ title: title.textContent, description: description.textContent } = words(form));
      for (const { node, group } of parts) {
        const [x, y] = node[layout][form];
        group.style.transform = `translate(${x}px, ${y}px)`;
        group.classList.toggle("gone", node.only !== undefined && node.only !== form);
      }
      for (const group of element.querySelectorAll<SVGGElement>("[data-only]"))
        group.classList.toggle("gone", Boolean(group.dataset.only) && group.dataset.only !== form);
    },
  };
}
