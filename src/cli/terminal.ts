import { DefaultRenderer, Listr, ListrLogger, ProcessOutput } from "listr2";
import type { Progress, Story } from "./progress.ts";

/** Milliseconds between pictures. */
const frame = 100;

/** listr2 asks the process's standard output whether it is a terminal; here the stream given was asked already. */
class StreamRenderer extends DefaultRenderer {
  static override nonTTY = true;
}

/** Draws a story on a terminal until `finish`. */
export function draw(story: Story, stream: NodeJS.WriteStream, now: () => number): Progress {
  let settle = (): void => {};
  const ended = new Promise<void>((resolve) => {
    settle = resolve;
  });
  const text = () => [story.head(), ...story.runs()].join("\n");
  let show = (): void => {};
  let leave = (): void => {};
  let last = now();
  const tasks = new Listr(
    {
      title: text(),
      task: (_, task) => {
        show = () => {
          task.title = text();
        };
        leave = () => {
          task.skip(text());
        };
        return ended;
      },
    },
    {
      renderer: StreamRenderer,
      // Ctrl-C belongs to the run, which saves before it ends.
      registerSignalListeners: false,
      rendererOptions: {
        formatOutput: "truncate",
        logger: new ListrLogger({ processOutput: new ProcessOutput(stream, stream), useIcons: true }),
      },
    },
  );
  const running = tasks.run();
  return {
    update(standing) {
      story.take(standing);
      if (now() - last < frame) return;
      last = now();
      show();
    },
    async finish(message) {
      // A run cut short is not ticked off as done.
      if (story.complete()) show();
      else leave();
      settle();
      await running;
      if (message !== undefined) stream.write(`${message}\n`);
    },
  };
}
