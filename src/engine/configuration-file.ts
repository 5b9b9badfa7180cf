/**
 * Reads the text of a configuration file: YAML to checked values by key path, and everything that is wrong with its
 * line. A key without a value (`scm:` with all beneath commented out) counts as not given.
 */
import { type Document, isMap, isScalar, LineCounter, type Node, type Pair, parseDocument } from "yaml";
import { didYouMean } from "../base/suggestion.ts";
import { type ConfigurationKey, CONFIGURATION_KEYS, configurationKey } from "./configuration-keys.ts";

const MAX_ALIASES = 10;
const MAX_SHOWN_CHARACTERS = 80;

export interface FileValue {
  readonly path: string;
  readonly value: unknown;
  readonly line: number;
}
export interface FileProblem {
  readonly path?: string;
  readonly line?: number;
  readonly message: string;
}
export interface FileReading {
  readonly values: readonly FileValue[];
  readonly problems: readonly FileProblem[];
}

/** Keys that hold other keys, such as `scm`. */
const GROUPS = new Set(CONFIGURATION_KEYS.flatMap(({ path }) => (path.includes(".") ? [path.split(".")[0]!] : [])));

export function readConfigurationFile(text: string): FileReading {
  const reader = new FileReader(text);
  reader.read();
  return reader;
}

class FileReader implements FileReading {
  readonly values: FileValue[] = [];
  readonly problems: FileProblem[] = [];
  readonly #lines = new LineCounter();
  readonly #document: Document.Parsed;

  constructor(text: string) {
    this.#document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false, uniqueKeys: true });
  }

  read(): void {
    const document = this.#document;
    for (const error of document.errors) {
      this.problems.push({ line: this.#lines.linePos(error.pos[0]).line, message: `YAML: ${error.message}` });
    }
    if (this.problems.length > 0 || document.contents === null) return;
    if (isScalar(document.contents) && document.contents.value === null) return;
    if (!isMap(document.contents)) {
      this.problems.push({ line: 1, message: "expected keys and values, such as `targets: 2`" });
      return;
    }
    for (const pair of document.contents.items) this.#pair(pair, "");
  }

  #pair(pair: Pair, prefix: string): void {
    const name = isScalar(pair.key) ? String(pair.key.value) : "?";
    const path = `${prefix}${name}`;
    const line = this.#lineOf(pair.key as Node | null);
    if (prefix === "" && GROUPS.has(name)) {
      this.#group(pair, name, line);
      return;
    }
    const key = configurationKey(path);
    if (key === undefined) this.problems.push({ path, line, message: unknownKey(name, prefix) });
    else this.#value(key, pair, line);
  }

  #group(pair: Pair, name: string, line: number): void {
    const { value } = pair;
    if (value === null || (isScalar(value) && value.value === null)) return;
    if (isMap(value)) for (const inner of value.items) this.#pair(inner, `${name}.`);
    else {
      const members = CONFIGURATION_KEYS.filter(({ path }) => path.startsWith(`${name}.`));
      const names = members.map(({ path }) => path.slice(name.length + 1)).join(", ");
      this.problems.push({ path: name, line, message: `expected keys beneath it: ${names}` });
    }
  }

  #value(key: ConfigurationKey, pair: Pair, line: number): void {
    const value = this.#plain(pair.value as Node | null, key, line);
    if (value === undefined || value === null) return;
    const parsed = key.schema.safeParse(value);
    if (parsed.success) this.values.push({ path: key.path, value: parsed.data, line });
    else {
      const shown = (JSON.stringify(value) ?? "something else").slice(0, MAX_SHOWN_CHARACTERS);
      this.problems.push({ path: key.path, line, message: `expected ${key.expected}, got ${shown}` });
    }
  }

  /** The node as plain data; undefined, with a problem, when it cannot be. */
  #plain(node: Node | null, key: ConfigurationKey, line: number): unknown {
    if (node === null) return undefined;
    if (isScalar(node)) return node.value;
    try {
      return node.toJS(this.#document, { maxAliasCount: MAX_ALIASES });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.problems.push({ path: key.path, line, message: `expected ${key.expected}: ${reason}` });
      return undefined;
    }
  }

  #lineOf(node: Node | null): number {
    return this.#lines.linePos(node?.range?.[0] ?? 0).line;
  }
}

/** The nearest key of the same level, else one of that name anywhere. */
function unknownKey(name: string, prefix: string): string {
  const depth = prefix === "" ? 1 : 2;
  const siblings = CONFIGURATION_KEYS.filter(({ path }) => path.startsWith(prefix)).map(
    ({ path }) => path.split(".")[depth - 1]!,
  );
  const meant = didYouMean(name, [...new Set(siblings)]);
  if (meant !== "") return `unknown key.${meant}`;
  const elsewhere = CONFIGURATION_KEYS.map(({ path }) => path).filter((path) => path.split(".").at(-1) === name);
  if (elsewhere.length > 0) return `unknown key here. Did you mean "${elsewhere.join('" or "')}"?`;
  return `unknown key. Known ones are ${[...new Set(siblings)].join(", ")}`;
}
