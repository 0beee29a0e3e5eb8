/** The page's worker, whose script lies packed in the page. */
import type { Tell } from "./worker.ts";

/** Unpacks and starts it; `hear` gets what it tells. Rejects where the browser has no workers from a page's own text. */
export async function startWorker(hear: (what: Tell) => void): Promise<Worker> {
  // It stands at the end of the page, which may still come.
  if (document.readyState === "loading")
    await new Promise((done) => document.addEventListener("DOMContentLoaded", done, { once: true }));
  const packed = document.querySelector<HTMLTemplateElement>("#worker")!.content.firstChild as Comment;
  const letters = Uint8Array.from(atob(packed.data), (letter) => letter.charCodeAt(0));
  const plain = new Blob([letters]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const script = new Blob([await new Response(plain).arrayBuffer()], { type: "text/javascript" });
  const worker = new Worker(URL.createObjectURL(script));
  worker.onmessage = ({ data }: MessageEvent<Tell>) => hear(data);
  worker.onerror = ({ message }) => hear({ problem: `worker: got ${message}, expected it to run; open the page anew` });
  return worker;
}
