/**
 * What a command is, and how the words of a command line find theirs. Commands are citty definitions with what citty
 * has no place for: examples, and strict arguments. Groups hold commands; `--system`, `--json` and `--timeout` belong
 * to all.
 */
import type { CommandDef } from "citty";
import { suggest } from "../base/suggestion.ts";
import { type ArgumentDefinitions, type ArgumentValues, parseArguments, usageError } from "./arguments.ts";
import type { Session } from "./session.ts";

/** Arguments that every command takes. */
export const COMMON_ARGUMENTS = {
  system: {
    type: "string",
    valueHint: "HOST:PORT[,..]",
    description: "Engines to ask, first that answers; else DAOS_SYSTEM, else 127.0.0.1:10001",
  },
  json: { type: "boolean", description: "Print one JSON object or array" },
  timeout: { type: "string", valueHint: "SECONDS", description: "Longest wait for one answer; default 30" },
  help: { type: "boolean", alias: "h", description: "Show this help" },
} as const satisfies ArgumentDefinitions;

type AllValues<Definitions> = ArgumentValues<Definitions & typeof COMMON_ARGUMENTS>;

export interface Command {
  readonly kind: "command";
  readonly summary: string;
  readonly examples: readonly string[];
  readonly definition: CommandDef<ArgumentDefinitions>;
  readonly repeatLast: boolean;
  /** Checks and parses the words; throws CONFIGURATION. `line` is the command's name, such as `daos pool create`. */
  prepare(words: readonly string[], line: string): PreparedCommand;
}

/** A command with its arguments, ready to run. */
export interface PreparedCommand {
  readonly system: string | undefined;
  readonly timeout: string | undefined;
  /** Resolves with the exit status; nothing means that all is well. */
  run(session: Session): Promise<number | void>;
}

export interface CommandGroup {
  readonly kind: "group";
  readonly summary: string;
  readonly members: Readonly<Record<string, Command | CommandGroup>>;
}

/** Defines a command; `run` gets its arguments typed after their definitions and may give an exit status. */
export function command<const Definitions extends ArgumentDefinitions>(options: {
  summary: string;
  examples: readonly [string, ...string[]];
  arguments: Definitions;
  /** The last positional may be repeated; all are in `_`. */
  repeatLast?: boolean;
  run(values: AllValues<Definitions>, session: Session): Promise<number | void>;
}): Command {
  const definitions = { ...options.arguments, ...COMMON_ARGUMENTS };
  const repeatLast = options.repeatLast ?? false;
  return {
    kind: "command",
    summary: options.summary,
    examples: options.examples,
    definition: { meta: { description: options.summary }, args: definitions },
    repeatLast,
    prepare(words, line) {
      const values = parseArguments(words, definitions, line, { repeatLast }) as AllValues<Definitions>;
      const { system, timeout } = values as ArgumentValues<typeof COMMON_ARGUMENTS>;
      return { system, timeout, run: (session) => options.run(values, session) };
    },
  };
}

export function commandGroup(summary: string, members: CommandGroup["members"]): CommandGroup {
  return { kind: "group", summary, members };
}

/** Where a command line leads: the member, its full name, and the words left for it. */
export interface Resolution {
  readonly member: Command | CommandGroup;
  readonly line: string;
  readonly words: readonly string[];
}

/**
 * Walks from `root` along the words. Common flags may stand before the command's name and are passed on to it. Throws
 * CONFIGURATION for a name that is not there, with the nearest that is.
 */
export function resolveCommand(root: CommandGroup, words: readonly string[]): Resolution {
  const passed: string[] = [];
  let member: Command | CommandGroup = root;
  let line = "daos";
  let index = 0;
  while (member.kind === "group" && index < words.length) {
    const word = words[index]!;
    if (word.startsWith("-")) {
      const length = commonFlagLength(word, line);
      passed.push(...words.slice(index, index + length));
      index += length;
      continue;
    }
    const found: Command | CommandGroup | undefined = Object.hasOwn(member.members, word)
      ? member.members[word]
      : undefined;
    if (found === undefined) throw unknownCommand(member, line, word);
    member = found;
    line += ` ${word}`;
    index += 1;
  }
  return { member, line, words: [...passed, ...words.slice(index)] };
}

/** How many words a common flag takes, itself included. */
function commonFlagLength(word: string, line: string): 1 | 2 {
  const name = word.split("=", 1)[0]!;
  if (name === "--json" || name === "--help" || name === "-h") return 1;
  if (name === "--system" || name === "--timeout") return word.includes("=") ? 1 : 2;
  const meant = suggest(name, ["--json", "--help", "--system", "--timeout", "--version"]);
  throw usageError(line, `it has no flag ${name}${meant === undefined ? "" : `; did you mean ${meant}?`}`);
}

function unknownCommand(group: CommandGroup, line: string, word: string): Error {
  const names = Object.keys(group.members);
  const meant = suggest(word, names);
  const advice = meant === undefined ? `use one of ${names.join(", ")}` : `did you mean ${line} ${meant}?`;
  return usageError(`${line} ${word}`.slice(0, 200), `there is no such command; ${advice}`, line);
}
