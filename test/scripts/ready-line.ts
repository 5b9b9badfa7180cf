/**
 * Waits for an engine process's ready line; for tests that start the program as a user would.
 */
import type { Subprocess } from "bun";

/**
 * The HOST:PORT of the ready line on the child's standard output, which is read on until it ends so that the child never
 * waits for a reader. Rejects with what it printed when it ends before it is ready.
 */
export function untilReady(child: Subprocess<"ignore", "pipe", "pipe" | "inherit">): Promise<string> {
  return new Promise((resolve, reject) => {
    void (async () => {
      const decoder = new TextDecoder();
      let text = "";
      for await (const bytes of child.stdout) {
        text += decoder.decode(bytes, { stream: true });
        const address = /daos engine ready on (\S+)[^\n]*\n/.exec(text)?.[1];
        if (address !== undefined) resolve(address);
      }
      reject(new Error(`the engine ended with status ${await child.exited} before it was ready:\n${text}`));
    })();
  });
}
