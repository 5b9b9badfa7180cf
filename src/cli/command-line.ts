/**
 * `daos`: from the words of a command line to an exit status. Finds the command, runs it, reports its error in the one
 * form that all commands share. A bug (anything that is no DaosError) is not caught here: the process ends with it.
 */
import { DaosError } from "../base/errors.ts";
import { secondsArgument, usageError } from "./arguments.ts";
import { isBrokenPipe } from "./stream-failure.ts";
import { resolveCommand } from "./command.ts";
import type { CommandEnvironment } from "./environment.ts";
import { EXIT_STATUS, exitStatusOf } from "./exit-status.ts";
import { helpText } from "./help.ts";
import { Output } from "./output.ts";
import { ROOT } from "./root-commands.ts";
import { DEFAULT_TIMEOUT_MS, Session } from "./session.ts";

/** Longest `--timeout`, seconds. */
const MAX_TIMEOUT_SECONDS = 86_400;

/**
 * Runs one command line (`words` without the program's name) and resolves with the process's exit status: 0 done, 1
 * failed, 2 wrong call or configuration. Everything is written when it resolves. Rejects only for a bug.
 */
export async function runCommandLine(words: readonly string[], environment: CommandEnvironment): Promise<number> {
  const output = new Output(environment.stdout, environment.stderr, wantsJson(words));
  try {
    return await run(words, environment, output);
  } catch (error) {
    return await report(error, output);
  } finally {
    await output.flush();
  }
}

async function run(words: readonly string[], environment: CommandEnvironment, output: Output): Promise<number> {
  if (words[0] === "--version") {
    await output.result({ version: environment.version }, `daos ${environment.version}\n`);
    return EXIT_STATUS.ok;
  }
  const {
    member,
    line,
    words: rest,
  } = resolveCommand(ROOT, words[0] === "help" ? [...words.slice(1), "--help"] : words);
  if (hasFlag(rest, "--help") || hasFlag(rest, "-h")) {
    await output.text(helpText(member, line));
    return EXIT_STATUS.ok;
  }
  if (member.kind === "group") {
    throw usageError(line, `a command is missing; use one of ${Object.keys(member.members).join(", ")}`);
  }
  const prepared = member.prepare(rest, line);
  const session = new Session(environment, output, {
    system: prepared.system,
    timeoutMs: prepared.timeout === undefined ? DEFAULT_TIMEOUT_MS : timeoutFrom(prepared.timeout),
  });
  try {
    return (await prepared.run(session)) ?? EXIT_STATUS.ok;
  } finally {
    await session.close();
  }
}

function timeoutFrom(text: string): number {
  return Math.ceil(secondsArgument("--timeout", text, MAX_TIMEOUT_SECONDS) * 1000);
}

async function report(error: unknown, output: Output): Promise<number> {
  if (isBrokenPipe(error)) return EXIT_STATUS.ok;
  if (!(error instanceof DaosError)) throw error;
  try {
    await output.failed(error);
  } catch (writeError) {
    // Standard error has the message; that standard output cannot take it too changes nothing.
    if (!isBrokenPipe(writeError) && !(writeError instanceof DaosError)) throw writeError;
  }
  return exitStatusOf(error);
}

/** Looked for before anything is parsed, so that errors of parsing are JSON too. */
function wantsJson(words: readonly string[]): boolean {
  return hasFlag(words, "--json") || hasFlag(words, "--json=true");
}

function hasFlag(words: readonly string[], flag: string): boolean {
  const end = words.indexOf("--");
  return words.slice(0, end === -1 ? words.length : end).includes(flag);
}
