/** The page's worker, whose script lies packed beside the page. */
import type { Tell } from "./worker.ts";

declare global {
  /** The text of a file beside the page (`site/unpack.js`). */
  var unpack: (file: "run") => Promise<Response>;
}

/** Reads and starts it; `hear` gets what it tells. Rejects where its file is missing. */
export async function startWorker(hear: (what: Tell) => void): Promise<Worker> {
  const text = await (await unpack("run")).arrayBuffer();
  const worker = new Worker(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
  worker.onmessage = ({ data }: MessageEvent<Tell>) => hear(data);
  worker.onerror = ({ message }) => hear({ problem: `worker: got ${message}, expected it to run; open the page anew` });
  return worker;
}
