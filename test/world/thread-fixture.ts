/**
 * The other side of thread.test.ts: echoes, throws or ends as it is told.
 */
import { parentThread } from "../../src/world/index.ts";

const parent = parentThread();
parent.post("ready");
parent.onMessage((message) => {
  if (message === "throw") throw new Error("thrown in the thread");
  if (message === "end") parent.terminate();
  if (message instanceof ArrayBuffer) parent.post(message, [message]);
  else parent.post({ echo: message });
});
