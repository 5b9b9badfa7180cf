/**
 * The qemu-storage-daemons that serve a storage folder, found in /proc: by their program and by an argument that lies in the
 * folder. Those of a killed engine are found too, which is what tells a daemon left behind. Nothing else is ever killed.
 */
import { readdirSync, readFileSync } from "node:fs";
import { basename } from "node:path";

const PROGRAM = "qemu-storage-daemon";
const LOOK_EVERY_MS = 2;

/** Process ids of the daemons that serve this folder, ascending; only those of `parentPid` if given. */
export function storageDaemons(folder: string, parentPid?: number): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => servesFolder(pid, folder) && (parentPid === undefined || parentOf(pid) === parentPid))
    .toSorted((a, b) => a - b);
}

/** A process that has ended and was not waited for has no arguments, so it is none of them. */
function servesFolder(pid: number, folder: string): boolean {
  const [program = "", ...args] = readProcess(pid, "cmdline").split("\0");
  return basename(program) === PROGRAM && args.some((argument) => argument.includes(`${folder}/`));
}

function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)$/m.exec(readProcess(pid, "status"))?.[1] ?? 0);
}

function readProcess(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return "";
  }
}

/** Kills one of them at once. One that has just ended by itself is no error. */
export function killDaemon(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as { code?: string }).code !== "ESRCH") throw error;
  }
}

/** Resolves when the condition holds; rejects naming it when it does not in time. */
export async function until(condition: () => boolean, what: string, timeoutMs: number): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}
