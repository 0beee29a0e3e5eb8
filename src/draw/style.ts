/**
 * Colours and type, which a page needs before its first text is laid out. The eight colours are Okabe and Ito's set ("Color
 * Universal Design", 2008), told apart under the common colour-vision deficiencies, darkened on white and lightened on black
 * until every line has a contrast of at least 3 to its paper (WCAG 2.2, 1.4.11); black is for the first variant, the reference.
 */
export const palette = `
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1c1f23; --soft: #5a626b; --line: #d9dde2; --panel: #f5f6f8; --accent: #0060a0;
  --v0: #33383e; --v1: #0072b2; --v2: #c84f00; --v3: #00805d; --v4: #a8438a; --v5: #8a6a00; --v6: #2b8cc4; --v7: #7a5cc0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --ink: #e7eaed; --soft: #a0a8b1; --line: #343a41; --panel: #1d2125; --accent: #7cc0f4;
    --v0: #d5d9de; --v1: #4aa3e6; --v2: #ff8b45; --v3: #2fc596; --v4: #e48cc6; --v5: #e3c33c; --v6: #8ad0f7; --v7: #b39df0;
  }
}
`;

/** The ground of a page. */
export const ground = `${palette}* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
}
.soft { color: var(--soft); font-size: 0.9rem; }
`;

/** The report's style sheet, the ground in it. */
export const style = `${ground}main { max-width: 1120px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 4px; text-wrap: balance; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 44px 0 8px; }
h3 { font-size: 1rem; margin: 0 0 4px; overflow-wrap: anywhere; }
p { margin: 6px 0; max-width: 75ch; }
.verdict { background: var(--panel); border-left: 4px solid var(--accent); border-radius: 4px; padding: 16px 20px; margin-top: 20px; }
.verdict .headline { font-size: 1.15rem; font-weight: 600; margin: 0 0 6px; overflow-wrap: anywhere; }
.verdict h2 { font-size: 1rem; margin: 14px 0 2px; }
.verdict ul { margin: 4px 0; padding-left: 1.2em; }
.verdict li { margin: 3px 0; max-width: 90ch; overflow-wrap: anywhere; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); gap: 28px 32px; }
.grid.three { grid-template-columns: repeat(auto-fit, minmax(min(100%, 290px), 1fr)); }
.grid > * { margin: 0; min-width: 0; }
.grid > .broad { grid-column: 1 / -1; }
figcaption { margin-top: 4px; color: var(--soft); font-size: 0.9rem; max-width: 75ch; }
svg.picture { display: block; max-width: 100%; height: auto; overflow: visible; font-family: inherit; }
svg.picture text { white-space: pre; font-variant-numeric: tabular-nums; }
.narrow { display: none; }
@media (max-width: 520px) { .narrow { display: block; } .wide { display: none; } main { padding: 20px 14px 48px; } }
.scroll { overflow-x: auto; margin: 8px 0; }
table { border-collapse: collapse; font-size: 0.86rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding-bottom: 4px; }
th, td { padding: 5px 7px; text-align: right; border-bottom: 1px solid var(--line); vertical-align: top; white-space: nowrap; }
thead th { vertical-align: bottom; font-weight: 600; }
th[scope=row], .text { text-align: left; }
th[scope=row] { font-weight: 600; position: sticky; left: 0; background: var(--paper); white-space: normal; min-width: 8em; max-width: 18em; overflow-wrap: anywhere; }
td.text { white-space: normal; max-width: 60ch; overflow-wrap: anywhere; }
tr.best td, tr.best th { background: var(--panel); }
.name { white-space: nowrap; }
.swatch { display: inline-block; width: 0.7em; height: 0.7em; margin-right: 0.5em; border-radius: 2px; }
pre { background: var(--panel); border-radius: 4px; padding: 10px 12px; margin: 6px 0; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; font: 0.85rem/1.45 ui-monospace, "Liberation Mono", Menlo, monospace; }
details { border: 1px solid var(--line); border-radius: 4px; padding: 8px 14px; margin: 10px 0; }
summary { cursor: pointer; font-weight: 600; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
@media print { details { border: 0; } .scroll { overflow: visible; } figure, tr { break-inside: avoid; } }
`;
