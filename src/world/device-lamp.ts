/**
 * Lights the lamp of a device's slot through `ledctl` (Debian package ledmon), which knows VMD, SES and SGPIO enclosures.
 * The lamp goes out by itself after LAMP_MS, as DAOS's does.
 */
import { DaosError } from "../base/errors.ts";

const LAMP_MS = 120_000;
const TOOL_LIMIT_MS = 10_000;

/** `path`: a block device, `/dev/nvme0n1`. Rejects with UNSUPPORTED where there is no tool or no lamp. */
export async function lightDeviceLamp(path: string): Promise<void> {
  if (!path.startsWith("/dev/")) throw unsupported(path, "it is no block device of the kernel");
  const tool = Bun.which("ledctl");
  if (tool === null) throw unsupported(path, "ledctl is not installed; install Debian package ledmon");
  await runTool(tool, `locate=${path}`, path);
  // Nobody waits for the lamp to go out; the process may end before.
  setTimeout(() => void runTool(tool, `locate_off=${path}`, path).catch(() => {}), LAMP_MS).unref();
}

async function runTool(tool: string, order: string, path: string): Promise<void> {
  const child = Bun.spawn([tool, order], { stdin: "ignore", stdout: "ignore", stderr: "pipe", timeout: TOOL_LIMIT_MS });
  const said = (await new Response(child.stderr).text()).replaceAll(/\s+/g, " ").trim();
  if ((await child.exited) !== 0) throw unsupported(path, `ledctl failed: ${said || `status ${child.exitCode}`}`);
}

function unsupported(path: string, state: string): DaosError {
  return new DaosError("UNSUPPORTED", `Cannot identify device "${path}": ${state}. Find it by its serial number.`);
}
