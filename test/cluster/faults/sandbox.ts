/**
 * The place that fault rounds run in: network, mount and process namespaces of their own. When its first process ends,
 * however it does, the kernel ends all others in it and takes down its interfaces and mounts; outside nothing is changed but for
 * control groups, which the caller removes.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { delay, succeeds } from "./shell.ts";

const PROGRAMS: Readonly<Record<string, string>> = {
  unshare: "util-linux",
  nsenter: "util-linux",
  ip: "iproute2",
  tc: "iproute2",
  iptables: "iptables",
  "mkfs.ext4": "e2fsprogs",
  mount: "mount",
  etcd: "etcd-server",
};
/** Block I/O controller of control groups of version 1: what slows disks down. */
const GROUPS = "/sys/fs/cgroup/blkio";
const END_TIMEOUT_MS = 30_000;
const END_POLL_MS = 50;
/** Set inside. */
const INSIDE = "DAOS_FAULT_SANDBOX";

/** Folder of this sandbox, which is on a disk; undefined outside of one. Its name is also that of the control groups. */
export const sandboxFolder = process.env[INSIDE];

/** What is missing here for fault rounds, and how to get it; undefined when nothing is. */
export function missingForFaults(): string | undefined {
  if (process.platform !== "linux") return "network namespaces are Linux's";
  if (process.getuid?.() !== 0) return "they need root, for network namespaces and mounts";
  const missing = Object.entries(PROGRAMS).filter(([program]) => Bun.which(program) === null);
  if (missing.length === 0) return undefined;
  const packages = [...new Set(missing.map(([, name]) => name))].join(" ");
  return `there is no ${missing.map(([program]) => program).join(", ")} here (Debian: apt-get install ${packages})`;
}

/**
 * Runs a script again in a sandbox; its exit status. A signal to this process ends all that runs in there. What is in the
 * folder goes, but for logs when the script fails.
 */
export async function runInSandbox(script: string, args: readonly string[]): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "daos-faults-"));
  const namespaces = ["--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"];
  const child = Bun.spawn(["unshare", ...namespaces, process.execPath, script, ...args], {
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, [INSIDE]: folder },
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill("SIGKILL"));
  const status = await child.exited;
  await removeGroups(basename(folder));
  if (status === 1) for (const name of readdirSync(folder)) if (!name.endsWith(".log")) removeTree(join(folder, name));
  if (status !== 1) removeTree(folder);
  return status;
}

function removeTree(path: string): void {
  rmSync(path, { recursive: true, force: true });
}

/** Folder of a control group for the I/O of a host; undefined where the machine has none. */
export function groupFolder(host: number): string | undefined {
  if (sandboxFolder === undefined || !existsSync(join(GROUPS, "blkio.throttle.read_iops_device"))) return undefined;
  return join(GROUPS, `${basename(sandboxFolder)}-h${host}`);
}

/** When what was in them has ended: that takes the kernel a moment. */
async function removeGroups(name: string): Promise<void> {
  if (!existsSync(GROUPS)) return;
  const deadlineMs = performance.now() + END_TIMEOUT_MS;
  for (const folder of readdirSync(GROUPS).filter((each) => each.startsWith(`${name}-`))) {
    while (!succeeds("rmdir", join(GROUPS, folder))) {
      if (performance.now() > deadlineMs) throw new Error(`processes of ${folder} do not end`);
      await delay(END_POLL_MS);
    }
  }
}
