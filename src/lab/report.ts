/** The report: one HTML file that loads nothing and runs nothing. */
import { JSDOM } from "jsdom";
import { chapters, heading } from "./chapter.ts";
import { escaped } from "./html.ts";
import type { Comparison } from "./result.ts";
import { style } from "./style.ts";

/** The report on a comparison as one self-contained HTML document: no script, no network, light and dark. */
export function report(result: Comparison): string {
  const { window } = new JSDOM("");
  const body = chapters(result, window.document);
  window.close();
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>${escaped(heading(result))}</title>
<style>${style}</style>
</head>
<body><main>
${body}
</main></body>
</html>
`;
}
