/** What the figure of MLA's two forms is made of: where its parts stand in either form, on a wide page and on a narrow one. */
import type { Question } from "./proof.ts";

export type FormName = "expanded" | "absorbed";
export type Layout = "wide" | "narrow";
export type Side = "left" | "right" | "top" | "bottom";
type Letter = keyof Question | "d" | "t" | "s";

/** Colours by what a number belongs to: the query side, the latent and what it unfolds to, position, and the two weights. */
export type Kind = "query" | "latent" | "position" | "uk" | "uv" | "plain";

interface Places {
  readonly expanded: readonly [x: number, y: number];
  readonly absorbed: readonly [x: number, y: number];
}

export interface Node {
  readonly id: string;
  /** As papers write it: what follows ^ is raised. */
  readonly label: string | Readonly<Record<FormName, string>>;
  readonly kind: Kind;
  /** A tensor is drawn by its sizes, a sheet per head; a weight as a tile; an op as a pill. */
  readonly shape: "tensor" | "weight" | "op";
  /** Sizes by letter: t new tokens, s all tokens. */
  readonly axes?: readonly Letter[];
  readonly wide: Places;
  readonly narrow: Places;
  /** The form that has it, where only one has; in the other it lies folded into its place there. */
  readonly only?: FormName;
  /** Its name and its sizes stand to its left; above and below unless said. */
  readonly beside?: true;
  /** A word above its name. */
  readonly note?: string;
}

const still = (x: number, y: number): Places => ({ expanded: [x, y], absorbed: [x, y] });
const moves = (expanded: readonly [number, number], absorbed: readonly [number, number]): Places => ({
  expanded,
  absorbed,
});

export const nodes: readonly Node[] = [
  {
    id: "x",
    label: "x",
    note: "new tokens",
    kind: "plain",
    shape: "tensor",
    axes: ["t", "d"],
    wide: still(60, 120),
    narrow: still(94, 48),
  },
  {
    id: "xs",
    label: "x",
    note: "all tokens",
    kind: "plain",
    shape: "tensor",
    axes: ["s", "d"],
    wide: still(60, 450),
    narrow: still(253, 54),
  },
  { id: "wuq", label: "W^UQ", kind: "plain", shape: "weight", wide: still(160, 76), narrow: still(56, 128) },
  { id: "wqr", label: "W^QR", kind: "plain", shape: "weight", wide: still(160, 164), narrow: still(132, 128) },
  { id: "wkr", label: "W^KR", kind: "plain", shape: "weight", wide: still(160, 376), narrow: still(198, 128) },
  { id: "wdkv", label: "W^DKV", kind: "plain", shape: "weight", wide: still(160, 504), narrow: still(296, 128) },
  {
    id: "qn",
    label: "q^n",
    kind: "query",
    shape: "tensor",
    axes: ["t", "h", "n"],
    wide: still(282, 76),
    narrow: still(56, 212),
  },
  {
    id: "qr",
    label: "q^r",
    kind: "position",
    shape: "tensor",
    axes: ["t", "h", "r"],
    wide: still(282, 164),
    narrow: still(132, 212),
  },
  {
    id: "kr",
    label: "k^r",
    kind: "position",
    shape: "tensor",
    axes: ["s", "r"],
    wide: still(282, 376),
    narrow: still(198, 222),
  },
  {
    id: "c",
    label: "c",
    kind: "latent",
    shape: "tensor",
    axes: ["s", "c"],
    wide: still(282, 504),
    narrow: still(296, 222),
  },
  {
    id: "qc",
    label: "q^c",
    kind: "query",
    shape: "tensor",
    axes: ["t", "h", "c"],
    only: "absorbed",
    wide: moves([282, 76], [536, 76]),
    narrow: moves([56, 212], [62, 428]),
  },
  {
    id: "kn",
    label: "k^n",
    kind: "latent",
    shape: "tensor",
    axes: ["s", "h", "n"],
    only: "expanded",
    wide: moves([536, 450], [282, 504]),
    narrow: moves([240, 438], [296, 222]),
  },
  {
    id: "v",
    label: "v",
    kind: "latent",
    shape: "tensor",
    axes: ["s", "h", "v"],
    only: "expanded",
    wide: moves([536, 564], [282, 504]),
    narrow: moves([319, 438], [296, 222]),
  },
  {
    id: "wuk",
    label: "W^UK",
    kind: "uk",
    shape: "weight",
    axes: ["c", "h", "n"],
    wide: moves([418, 450], [418, 76]),
    narrow: moves([240, 316], [56, 308]),
  },
  {
    id: "wuv",
    label: "W^UV",
    kind: "uv",
    shape: "weight",
    axes: ["c", "h", "v"],
    wide: moves([418, 564], [962, 146]),
    narrow: moves([319, 316], [180, 824]),
  },
  { id: "rotary", label: "q^r · k^r", kind: "position", shape: "op", wide: still(664, 300), narrow: still(180, 530) },
  {
    id: "content",
    label: { expanded: "q^n · k^n", absorbed: "q^c · c" },
    kind: "plain",
    shape: "op",
    wide: still(758, 300),
    narrow: still(180, 590),
  },
  { id: "softmax", label: "softmax", kind: "plain", shape: "op", wide: still(866, 300), narrow: still(180, 656) },
  {
    id: "sum",
    label: { expanded: "Σ p v", absorbed: "Σ p c" },
    kind: "plain",
    shape: "op",
    wide: still(962, 300),
    narrow: still(180, 710),
  },
  {
    id: "oc",
    label: "o^c",
    kind: "latent",
    shape: "tensor",
    axes: ["t", "h", "c"],
    only: "absorbed",
    beside: true,
    wide: moves([962, 52], [962, 236]),
    narrow: moves([180, 896], [180, 764]),
  },
  {
    id: "o",
    label: "o",
    kind: "plain",
    shape: "tensor",
    axes: ["t", "h", "v"],
    beside: true,
    wide: still(962, 52),
    narrow: still(180, 896),
  },
  { id: "wo", label: "W^O", kind: "plain", shape: "weight", wide: still(1066, 52), narrow: still(180, 956) },
  {
    id: "y",
    label: "y",
    kind: "plain",
    shape: "tensor",
    axes: ["t", "d"],
    wide: still(1066, 142),
    narrow: still(180, 1028),
  },
];

export interface Edge {
  readonly from: string;
  readonly to: string;
  readonly kind: Kind;
  readonly only?: FormName;
  /** Sides where it leaves and arrives; right to left on a wide page and bottom to top on a narrow one unless said. */
  readonly wide?: readonly [leaves: Side, arrives: Side];
  readonly narrow?: readonly [leaves: Side, arrives: Side];
  /** Pixels along the side, from its middle, where it leaves and where it arrives. */
  readonly off?: readonly [number, number];
  readonly label?: string;
}

export const edges: readonly Edge[] = [
  { from: "x", to: "wuq", kind: "plain" },
  { from: "x", to: "wqr", kind: "plain" },
  { from: "xs", to: "wkr", kind: "plain" },
  { from: "xs", to: "wdkv", kind: "plain" },
  { from: "wuq", to: "qn", kind: "query" },
  { from: "wqr", to: "qr", kind: "position" },
  { from: "wkr", to: "kr", kind: "position" },
  { from: "wdkv", to: "c", kind: "latent" },
  { from: "qr", to: "rotary", kind: "position", wide: ["right", "top"], narrow: ["bottom", "top"], off: [0, -8] },
  { from: "kr", to: "rotary", kind: "position", wide: ["right", "bottom"], narrow: ["bottom", "top"], off: [0, 8] },
  { from: "softmax", to: "sum", kind: "plain" },
  { from: "o", to: "wo", kind: "plain" },
  { from: "wo", to: "y", kind: "plain", wide: ["bottom", "top"] },
  { from: "content", to: "softmax", kind: "plain" },
  // Multi-head: the latent unfolds into keys and values.
  { from: "qn", to: "content", kind: "query", only: "expanded", wide: ["right", "top"], narrow: ["bottom", "left"] },
  { from: "c", to: "wuk", kind: "latent", only: "expanded", off: [-6, 0] },
  { from: "c", to: "wuv", kind: "latent", only: "expanded", off: [6, 0] },
  { from: "wuk", to: "kn", kind: "uk", only: "expanded" },
  { from: "wuv", to: "v", kind: "uv", only: "expanded" },
  { from: "kn", to: "content", kind: "uk", only: "expanded", wide: ["right", "bottom"], narrow: ["bottom", "right"] },
  { from: "v", to: "sum", kind: "uv", only: "expanded", wide: ["right", "bottom"], narrow: ["bottom", "right"] },
  { from: "sum", to: "o", kind: "uv", only: "expanded", wide: ["top", "bottom"] },
  // Multi-query: the latent itself is key and value of all heads.
  { from: "qn", to: "wuk", kind: "query", only: "absorbed" },
  { from: "wuk", to: "qc", kind: "uk", only: "absorbed" },
  { from: "qc", to: "content", kind: "uk", only: "absorbed", wide: ["right", "top"], narrow: ["bottom", "left"] },
  {
    from: "c",
    to: "content",
    kind: "latent",
    only: "absorbed",
    wide: ["right", "bottom"],
    narrow: ["bottom", "right"],
    off: [-8, 0],
    label: "as the key of all heads",
  },
  {
    from: "c",
    to: "sum",
    kind: "latent",
    only: "absorbed",
    wide: ["right", "bottom"],
    narrow: ["bottom", "right"],
    off: [8, 0],
    label: "as their value: the same numbers",
  },
  { from: "sum", to: "oc", kind: "latent", only: "absorbed", wide: ["top", "bottom"] },
  { from: "oc", to: "wuv", kind: "latent", only: "absorbed", wide: ["top", "bottom"] },
  { from: "wuv", to: "o", kind: "uv", only: "absorbed", wide: ["top", "bottom"] },
];

/** Frames around parts, with what they say. */
export interface Frame {
  readonly id: "query" | "memory" | "score" | "cache" | "unfolded";
  readonly only?: FormName;
  readonly wide: readonly [x: number, y: number, width: number, height: number];
  readonly narrow: readonly [x: number, y: number, width: number, height: number];
}

export const frames: readonly Frame[] = [
  { id: "score", wide: [608, 250, 200, 100], narrow: [110, 498, 140, 124] },
  { id: "cache", wide: [214, 318, 136, 270], narrow: [168, 166, 190, 118] },
  { id: "unfolded", only: "expanded", wide: [468, 390, 136, 232], narrow: [200, 384, 159, 116] },
];

export const extent = { wide: [1120, 646], narrow: [360, 1064] } as const;
