/**
 * Properties of pools and containers as commands print them, and the choice of some by name.
 */
import { DaosError } from "../base/errors.ts";
import { didYouMean } from "../base/suggestion.ts";
import type { Properties } from "../format/operations.ts";
import { formatTable, printable } from "./table.ts";

/** Those named, or all. Throws NOT_FOUND for a name that is not there. */
export function propertiesJson(properties: Properties, names: readonly string[]): Properties {
  return Object.fromEntries(chosen(properties, names));
}

/** A table of those named, or of all. Throws NOT_FOUND for a name that is not there. */
export function propertiesText(properties: Properties, names: readonly string[]): string {
  const rows = chosen(properties, names).map(([name, value]) => [printable(name), printable(String(value))]);
  return formatTable([{ title: "Property" }, { title: "Value" }], rows);
}

function chosen(properties: Properties, names: readonly string[]): (readonly [string, string | number | boolean])[] {
  const known = Object.keys(properties);
  if (names.length === 0) return Object.entries(properties);
  return names.map((name) => {
    const value = Object.hasOwn(properties, name) ? properties[name] : undefined;
    if (value !== undefined) return [name, value] as const;
    const advice = didYouMean(name, known) || ` Use one of ${known.join(", ")}.`;
    throw new DaosError("NOT_FOUND", `Cannot show property "${name}": there is none of that name.${advice}`);
  });
}
