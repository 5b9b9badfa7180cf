/**
 * Child processes that end with their parent: a pipe stays open between them for as long as the parent lives, and the child
 * hears when it closes, however the parent ended. Only the composition root uses this file.
 */

export interface ChildEnd {
  /** Exit status; undefined when a signal ended it. */
  readonly status: number | undefined;
  readonly signal: string | undefined;
}

export interface Child {
  readonly pid: number;
  readonly ended: Promise<ChildEnd>;
  signal(name: "SIGTERM" | "SIGKILL"): void;
}

export interface ChildOptions {
  /** The program's arguments; the program is this one. */
  readonly args: readonly string[];
  /** Variables beside those of this process. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Each line that the child prints. */
  readonly line: (text: string, isError: boolean) => void;
}

/** Runs this program once more. */
export function spawnSelf({ args, environment, line }: ChildOptions): Child {
  // A built executable is its own program; else the runtime is, and the entry file comes first.
  const isBuilt = Bun.main.startsWith("/$bunfs/");
  const child = Bun.spawn([process.execPath, ...(isBuilt ? [] : [Bun.main]), ...args], {
    env: { ...process.env, ...environment },
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
  const read = Promise.all([
    readLines(child.stdout, (text) => line(text, false)),
    readLines(child.stderr, (text) => line(text, true)),
  ]);
  const ended = child.exited.then(async (): Promise<ChildEnd> => {
    await read;
    return {
      status: child.exitCode ?? undefined,
      signal: child.signalCode === null ? undefined : String(child.signalCode),
    };
  });
  return { pid: child.pid, ended, signal: (name) => child.kill(name) };
}

/** Calls `handler` once when the parent has gone, for a child that `spawnSelf` started. */
export function onParentGone(handler: () => void): void {
  process.stdin.resume();
  process.stdin.once("end", handler);
  process.stdin.once("error", handler);
}

async function readLines(stream: ReadableStream<Uint8Array>, line: (text: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of stream) {
    const lines = `${rest}${decoder.decode(bytes, { stream: true })}`.split("\n");
    rest = lines.pop() ?? "";
    for (const text of lines) line(text);
  }
  if (rest !== "") line(rest);
}
