/** What background work does that comes upon damage: it has mended what can be, and begins again, once. */
import { hasCode } from "../base/errors.ts";

/** `mend`: whether anything could be. Rejects as `work`. */
export async function withMending(work: () => Promise<void>, mend: () => Promise<boolean>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!hasCode(error, "CORRUPT") || !(await mend())) throw error;
    await work();
  }
}
