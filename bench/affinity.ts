/** The cores that a process may run on, through taskset (util-linux). Lists of cores are as it writes them: `0-1`. */

/** Why cores cannot be chosen here; undefined when they can. */
export function affinityProblem(): string | undefined {
  if (Bun.which("taskset") === null) return "taskset is not installed";
  return navigator.hardwareConcurrency < 2 ? "there is only one core" : undefined;
}

export const sched = {
  coresOf(pid: number): string {
    return taskset("-c", "-p", String(pid)).trim().split(": ").at(-1)!;
  },

  /** All threads of the process, and what they start. */
  hold(pid: number, cores: string): void {
    taskset("-a", "-c", "-p", cores, String(pid));
  },
};

function taskset(...args: readonly string[]): string {
  const { success, stdout, stderr } = Bun.spawnSync(["taskset", ...args]);
  if (!success) throw new Error(`Cannot choose cores: taskset ${args.join(" ")}: ${stderr.toString()}`);
  return stdout.toString();
}
