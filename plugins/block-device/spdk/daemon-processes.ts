/**
 * Finds the qemu-storage-daemons that export a device on a socket, whoever started them: in /proc, by their arguments. A pid
 * file would not do: a process of ours that is killed between the start of its daemon and the writing of the file leaves a
 * daemon that nobody knows, and that keeps the device.
 */
import { readdirSync, readFileSync } from "node:fs";

/** Process ids. A process that only names the socket is none of them. */
export function daemonsOn(socketPath: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => exportsOn(argumentsOf(pid), socketPath));
}

export function isDaemonOn(pid: number, socketPath: string): boolean {
  return exportsOn(argumentsOf(pid), socketPath);
}

function exportsOn(args: readonly string[], socketPath: string): boolean {
  return args.some((argument, index) => argument === "--export" && pathOf(args[index + 1]) === socketPath);
}

/** Where a vhost-user export listens, as daemonArguments() writes it; undefined for anything else. */
function pathOf(exported: string | undefined): string | undefined {
  try {
    return JSON.parse(exported ?? "")?.addr?.path;
  } catch {
    return undefined;
  }
}

/** Of a process, its program first; none when it has ended. */
function argumentsOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return [];
  }
}
