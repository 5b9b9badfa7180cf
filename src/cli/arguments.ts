/**
 * Arguments of one command: strict checking of what citty would let pass (unknown flags, flags without their value,
 * words too many), then citty's parsing, then the types that commands want. Whatever is wrong raises CONFIGURATION,
 * which ends the process with status 2, and says what was meant where that can be guessed.
 */
import { type ArgDef, type ArgsDef, parseArgs } from "citty";
import { DaosError, hasCode } from "../base/errors.ts";
import { type Epoch, epochFrom } from "../base/epoch.ts";
import { checkLabel } from "../base/label.ts";
import { type ObjectClass, objectClassByName } from "../base/object-class.ts";
import { type ObjectId, parseObjectId } from "../base/object-id.ts";
import { parseSize } from "../base/size.ts";
import { suggest } from "../base/suggestion.ts";
import type { Properties } from "../format/operations.ts";

/** Arguments as citty defines them. */
export type ArgumentDefinitions = ArgsDef;

type ValueOf<Definition> = Definition extends { type: "boolean" }
  ? boolean | undefined
  : Definition extends { required: true }
    ? string
    : string | undefined;

/** What `run` receives: every argument by name, and all positionals in `_`. */
export type ArgumentValues<Definitions> = { readonly [Name in keyof Definitions]: ValueOf<Definitions[Name]> } & {
  readonly _: readonly string[];
};

/** Parses `words`. Throws CONFIGURATION; `command` is named in the message. */
export function parseArguments<Definitions extends ArgumentDefinitions>(
  words: readonly string[],
  definitions: Definitions,
  command: string,
  options: { repeatLast: boolean },
): ArgumentValues<Definitions> {
  const positionals = checkWords(words, definitions, command);
  const names = Object.entries(definitions).filter(([, definition]) => definition.type === "positional");
  const missing = names.slice(positionals).filter(([, definition]) => definition.required === true);
  if (missing.length > 0) {
    throw usageError(command, `${missing.map(([name]) => name.toUpperCase()).join(" and ")} missing`);
  }
  if (positionals > names.length && !options.repeatLast) {
    throw usageError(command, `${positionals} words given where ${names.length} belong; quote what has blanks`);
  }
  const parsed = parseArgs([...words], lenient(definitions));
  for (const [name, definition] of Object.entries(definitions)) checkFlagValue(name, definition, parsed[name], command);
  return parsed as unknown as ArgumentValues<Definitions>;
}

/** For citty: what it would check with messages of its own is checked here. */
function lenient(definitions: ArgumentDefinitions): ArgumentDefinitions {
  const entries = Object.entries(definitions).map(([name, definition]): [string, ArgDef] => {
    if (definition.type === "positional") return [name, { type: "positional", required: false }];
    const aliases = "alias" in definition && definition.alias !== undefined ? { alias: definition.alias } : {};
    return [name, { type: definition.type === "boolean" ? "boolean" : "string", ...aliases }];
  });
  return Object.fromEntries(entries);
}

function checkFlagValue(name: string, definition: ArgDef, value: unknown, command: string): void {
  if (definition.type === "positional" || definition.type === "boolean") return;
  if (value === undefined) {
    if (definition.required === true) throw usageError(command, `--${name} is missing`);
    return;
  }
  if (definition.type !== "enum" || typeof value !== "string") return;
  const options = definition.options ?? [];
  if (options.includes(value)) return;
  throw argumentError(`--${name}`, value, `use one of ${options.join(", ")}`);
}

interface Flag {
  readonly name: string;
  readonly takesValue: boolean;
}

/** Every spelling of every flag, with its dashes. */
function flagTable(definitions: ArgumentDefinitions): Map<string, Flag> {
  const table = new Map<string, Flag>();
  for (const [name, definition] of Object.entries(definitions)) {
    if (definition.type === "positional") continue;
    const flag = { name, takesValue: definition.type !== "boolean" };
    table.set(`--${name}`, flag);
    const aliases = "alias" in definition ? (definition.alias ?? []) : [];
    for (const alias of [aliases].flat()) table.set(alias.length === 1 ? `-${alias}` : `--${alias}`, flag);
  }
  return table;
}

/** Checks each flag; returns the number of positionals. */
function checkWords(words: readonly string[], definitions: ArgumentDefinitions, command: string): number {
  const flags = flagTable(definitions);
  let positionals = 0;
  for (let index = 0; index < words.length; index++) {
    const word = words[index]!;
    if (word === "--") return positionals + words.length - index - 1;
    if (!word.startsWith("-") || word === "-") {
      positionals += 1;
      continue;
    }
    const { flag, value } = flagOf(word, flags, command);
    if (!flag.takesValue) {
      if (value !== undefined && value !== "true" && value !== "false") {
        throw usageError(command, `--${flag.name} takes no value, "${value}" was given`);
      }
      continue;
    }
    if (value !== undefined) continue;
    const next = words[index + 1];
    if (next === undefined || next.startsWith("--")) {
      throw usageError(command, `${word} needs a value; one that begins with dashes goes as --${flag.name}=VALUE`);
    }
    index += 1;
  }
  return positionals;
}

function flagOf(
  word: string,
  flags: ReadonlyMap<string, Flag>,
  command: string,
): { flag: Flag; value: string | undefined } {
  const equals = word.startsWith("--") ? word.indexOf("=") : -1;
  // A short flag stands alone or carries its value: -o FILE, -oFILE.
  const spelling = equals !== -1 ? word.slice(0, equals) : word.startsWith("--") ? word : word.slice(0, 2);
  const flag = flags.get(spelling);
  const rest = equals !== -1 ? word.slice(equals + 1) : word.startsWith("--") ? undefined : word.slice(2) || undefined;
  if (flag !== undefined && !(rest !== undefined && !word.startsWith("--") && !flag.takesValue)) {
    return { flag, value: rest };
  }
  const meant = suggest(spelling, [...flags.keys()]);
  throw usageError(
    command,
    meant === undefined
      ? `it has no flag ${word}; a word that begins with a dash goes after --`
      : `it has no flag ${word}; did you mean ${meant}?`,
  );
}

/** The error for a wrong call. `helpOf` is the command whose help to read, when `command` itself is none. */
export function usageError(command: string, state: string, helpOf = command): DaosError {
  const end = /[.?]$/.test(state) ? "" : ".";
  return new DaosError("CONFIGURATION", `Cannot run "${command}": ${state}${end} See ${helpOf} --help.`);
}

/** The error for one argument's value. */
export function argumentError(name: string, text: string, expected: string): DaosError {
  return new DaosError("CONFIGURATION", `Cannot use ${name} "${text}": ${expected}.`);
}

/** Bytes from `4GiB`, at least `minBytes`. */
export function sizeArgument(name: string, text: string, minBytes = 1): number {
  const bytes = checkedArgument(() => parseSize(text));
  if (bytes >= minBytes) return bytes;
  throw argumentError(name, text, minBytes === 1 ? "it must not be zero" : `it must be at least ${minBytes} bytes`);
}

/** A whole number in [min, max]. */
export function countArgument(name: string, text: string, min: number, max: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw argumentError(name, text, `write a whole number from ${min} to ${max}`);
}

/** Whole numbers in [0, max], with commas between them, each once. */
export function countsArgument(name: string, text: string, max: number): number[] {
  return [...new Set(text.split(",").map((part) => countArgument(name, part.trim(), 0, max)))];
}

/** A number of seconds, fractions welcome, above zero. */
export function secondsArgument(name: string, text: string, max: number): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (value > 0 && value <= max) return value;
  throw argumentError(name, text, `write seconds, above 0 and up to ${max}`);
}

export function epochArgument(name: string, text: string): Epoch {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value) && value > 0) return epochFrom(value);
  throw argumentError(name, text, "write an epoch as a whole number, as `daos container snapshot list` shows it");
}

/** A new label, checked here so that a wrong one costs no connection. */
export function labelArgument(noun: string, text: string): string {
  return checkedArgument(() => checkLabel(noun, text));
}

/** The class of this name. */
export function objectClassArgument(text: string): ObjectClass {
  return checkedArgument(() => objectClassByName(text));
}

/** An object id written as `hi.lo`. */
export function objectIdArgument(text: string): ObjectId {
  return checkedArgument(() => parseObjectId(text));
}

/** What `parse` makes of an argument; its INVALID_ARGUMENT becomes CONFIGURATION, for the call itself is wrong. */
export function checkedArgument<Value>(parse: () => Value): Value {
  try {
    return parse();
  } catch (error) {
    if (!hasCode(error, "INVALID_ARGUMENT")) throw error;
    throw new DaosError("CONFIGURATION", error.message, { cause: error });
  }
}

/** One property from `name:value`; the value may hold colons. */
export function propertyArgument(text: string): readonly [name: string, value: string] {
  const colon = text.indexOf(":");
  if (colon > 0) return [text.slice(0, colon), text.slice(colon + 1)];
  throw argumentError("property", text, "write NAME:VALUE");
}

/** Properties from `name:value,name:value`. */
export function propertiesArgument(text: string): Properties {
  return propertiesFrom(text.split(","));
}

/** Properties from `name:value` words. Throws CONFIGURATION when one is named twice. */
export function propertiesFrom(words: readonly string[]): Properties {
  const properties = new Map<string, string>();
  for (const word of words) {
    const [name, value] = propertyArgument(word);
    if (properties.has(name)) throw argumentError("property", name, "it is given twice");
    properties.set(name, value);
  }
  return Object.fromEntries(properties);
}
