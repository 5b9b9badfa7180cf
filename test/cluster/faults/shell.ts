/** Programs of the machine that set up hosts for fault rounds: each is waited for, and has to succeed. */

/** Runs a program. Throws with what it said when it fails. */
export function run(...command: string[]): string {
  const { success, stdout, stderr } = Bun.spawnSync(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  if (!success) throw new Error(`${command.join(" ")}: ${stderr.toString().trim()}`);
  return stdout.toString();
}

/** Whether it succeeds. */
export function succeeds(...command: string[]): boolean {
  return Bun.spawnSync(command, { stdin: "ignore", stdout: "ignore", stderr: "ignore" }).success;
}

export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
