/**
 * `--help`: what a command or group does, its arguments, and at least one example that can be pasted. Plain text, no
 * colours: it is read in terminals, pipes and documentation alike.
 */
import type { ArgDef } from "citty";
import type { ArgumentDefinitions } from "./arguments.ts";
import { type Command, COMMON_ARGUMENTS, type CommandGroup } from "./command.ts";

/** The help of a command or group whose full name is `line`, with a newline at the end. */
export function helpText(member: Command | CommandGroup, line: string): string {
  return member.kind === "group" ? groupHelp(member, line) : commandHelp(member, line);
}

function groupHelp(group: CommandGroup, line: string): string {
  const rows = Object.entries(group.members).map(([name, member]): [string, string] => [name, member.summary]);
  return [
    `${group.summary}\n`,
    `Usage: ${line} COMMAND ...\n`,
    `Commands:\n${twoColumns(rows)}`,
    `See ${line} COMMAND --help for each.\n`,
  ].join("\n");
}

function commandHelp(command: Command, line: string): string {
  const definitions = command.definition.args as ArgumentDefinitions;
  const positionals = Object.entries(definitions).filter(([, definition]) => definition.type === "positional");
  const own = Object.entries(definitions).filter(
    ([name, definition]) => definition.type !== "positional" && !(name in COMMON_ARGUMENTS),
  );
  const words = positionals.map(([name, definition]) =>
    definition.required === true ? name.toUpperCase() : `[${name.toUpperCase()}]`,
  );
  const repeated = command.repeatLast ? " ..." : "";
  const sections = [
    `${command.summary}\n`,
    `Usage: ${[line, ...words].join(" ")}${repeated}${own.length > 0 ? " [FLAGS]" : ""}\n`,
  ];
  if (positionals.length > 0) {
    sections.push(
      `Arguments:\n${twoColumns(positionals.map(([name, { description = "" }]) => [name.toUpperCase(), description]))}`,
    );
  }
  if (own.length > 0) sections.push(`Flags:\n${twoColumns(own.map(flagRow))}`);
  sections.push(`Flags of every command:\n${twoColumns(Object.entries<ArgDef>(COMMON_ARGUMENTS).map(flagRow))}`);
  sections.push(`Examples:\n${command.examples.map((example) => `  ${example}\n`).join("")}`);
  return sections.join("\n");
}

function flagRow([name, definition]: [string, ArgDef]): [string, string] {
  const aliases = "alias" in definition ? [definition.alias ?? []].flat() : [];
  const spellings = [...aliases.map((alias) => (alias.length === 1 ? `-${alias}` : `--${alias}`)), `--${name}`];
  const value = definition.type === "boolean" ? "" : ` ${valueName(name, definition)}`;
  return [`${spellings.join(", ")}${value}`, definition.description ?? ""];
}

function valueName(name: string, definition: ArgDef): string {
  if (definition.type === "enum") return (definition.options ?? []).join("|");
  return definition.valueHint ?? name.toUpperCase();
}

function twoColumns(rows: readonly (readonly [string, string])[]): string {
  const width = rows.reduce((widest, [left]) => Math.max(widest, left.length), 0);
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`.trimEnd() + "\n").join("");
}
