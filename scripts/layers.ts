/**
 * The layers of the source and who may import whom: base <- format <- contracts <- nouns <- composition roots.
 *
 * Pure: takes paths and texts, gives violations. It sees every `import`, `export ... from` and `import()` whose target
 * is a literal, types included. What a file may name without importing (timers, Bun, process) is .oxlintrc.json's part.
 * Whoever adds a folder to src/ adds it here.
 */
import { posix } from "node:path";

/** The folders of src/ in their order: each may import itself and those before it. */
const LAYERS = [
  "base",
  "format",
  "contracts",
  "membership",
  "placement",
  "redundancy",
  "store",
  "vos",
  "rpc",
  "dtx",
  "control",
  "engine",
  "client",
  "cli",
] as const;

/** What plugins and the world may see of src/. */
const PUBLIC_LAYERS: readonly string[] = ["base", "format", "contracts"];

/** Files of these folders that may import a package which touches the world, and why. */
const PACKAGE_EXCEPTIONS: readonly { file: string; packages: readonly string[]; reason: string }[] = [
  { file: "src/store/lmdb-index.ts", packages: ["lmdb"], reason: "the settled index is LMDB" },
];

/** Packages that are pure functions of their arguments, open to every layer. */
const PURE_PACKAGES: readonly string[] = [
  "cbor-x",
  "cbor-x/encode",
  "cbor-x/decode",
  "zod",
  "yaml",
  "citty",
  "consola",
];
/** Entry points of pure packages that leave out what touches the terminal or the runtime. */
const PURE_PREFIXES: readonly string[] = ["cbor-x/", "zod/", "consola/"];

export interface SourceText {
  /** From the root of the checkout, with `/`. */
  readonly path: string;
  readonly text: string;
}

export interface Violation {
  readonly path: string;
  readonly line: number;
  readonly message: string;
}

/** Every import that breaks the layers, and every `new Date()` (a read of the clock) outside the world. */
export function layerViolations(files: readonly SourceText[]): Violation[] {
  return files.flatMap((file) => {
    const imports = importsOf(file.text).flatMap(({ specifier, line }) => {
      const message = specifier.startsWith(".")
        ? relativeImportProblem(file.path, posix.join(posix.dirname(file.path), specifier))
        : packageImportProblem(file.path, specifier);
      return message === undefined ? [] : [{ path: file.path, line, message }];
    });
    return [...imports, ...clockReads(file)];
  });
}

/** Targets of the imports of a module, with their lines. */
export function importsOf(text: string): { specifier: string; line: number }[] {
  const code = withoutComments(text);
  const pattern =
    /(?:^|[\n;}])\s*(?:import|export)\s[^"';]*?\bfrom\s*["']([^"']+)["']|(?:^|[\n;}])\s*import\s*["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']/g;
  return [...code.matchAll(pattern)].map((match) => {
    const specifier = match[1] ?? match[2] ?? match[3] ?? "";
    const end = match.index + match[0].length;
    return { specifier, line: code.slice(0, end).split("\n").length };
  });
}

/** The text with comments blanked out, line breaks kept. Strings that hold comment marks are respected. */
export function withoutComments(text: string): string {
  const pattern = /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\[^])*`|\/\/[^\n]*|\/\*[^]*?\*\//g;
  return text.replace(pattern, (found) => (found.startsWith("/") ? found.replace(/[^\n]/g, " ") : found));
}

function relativeImportProblem(from: string, to: string): string | undefined {
  if (isCompositionRoot(from) || !isGuarded(from)) return undefined;
  const source = layerOf(from);
  const target = layerOf(to);
  if (from.startsWith("plugins/")) {
    if (to.startsWith("plugins/") || to.startsWith("native/")) return undefined;
    if (target !== undefined && PUBLIC_LAYERS.includes(target)) return undefined;
    return `a plugin may import ${PUBLIC_LAYERS.join(", ")} of src and nothing else, not ${to}`;
  }
  if (to.startsWith("plugins/")) return `only composition roots import plugins, not ${from}`;
  if (source === undefined) return `${from} is in no known layer: add its folder to scripts/layers.ts`;
  if (target === undefined) return `${to} is in no layer that src may import`;
  if (source === target) return undefined;
  if (source === "world") {
    return PUBLIC_LAYERS.includes(target)
      ? undefined
      : `src/world may import ${PUBLIC_LAYERS.join(", ")}, not ${target}`;
  }
  if (target === "world") return "the world is passed in as an argument: only composition roots import src/world";
  const order: readonly string[] = LAYERS;
  if (order.indexOf(target) < order.indexOf(source)) return undefined;
  return `src/${source} may not import src/${target}: the order is ${LAYERS.join(" <- ")}`;
}

function packageImportProblem(from: string, specifier: string): string | undefined {
  if (isCompositionRoot(from) || !isGuarded(from) || from.startsWith("plugins/") || layerOf(from) === "world") {
    return undefined;
  }
  const exception = PACKAGE_EXCEPTIONS.find((candidate) => candidate.file === from);
  if (exception?.packages.includes(specifier)) return undefined;
  if (PURE_PACKAGES.includes(specifier) || PURE_PREFIXES.some((prefix) => specifier.startsWith(prefix)))
    return undefined;
  return `only src/world imports "${specifier}": take what it does as an argument, or list the file in scripts/layers.ts with a reason`;
}

function clockReads(file: SourceText): Violation[] {
  if (!isGuarded(file.path) || isCompositionRoot(file.path) || file.path.startsWith("plugins/")) return [];
  if (layerOf(file.path) === "world") return [];
  const code = withoutComments(file.text);
  return [...code.matchAll(/\bnew Date\(\s*\)/g)].map((match) => ({
    path: file.path,
    line: code.slice(0, match.index).split("\n").length,
    message: "`new Date()` reads the clock: use the Clock of the world passed in",
  }));
}

/** The folder of src/ a file is in. */
function layerOf(path: string): string | undefined {
  const folder = /^src\/([^/]+)\//.exec(path)?.[1];
  const known: readonly string[] = [...LAYERS, "world"];
  return folder !== undefined && known.includes(folder) ? folder : undefined;
}

/** main.ts, library.ts and the entry points of threads: they make the world and wire everything. */
function isCompositionRoot(path: string): boolean {
  return /^src\/(main|library|[a-z-]+-thread)\.ts$/.test(path) || path === "plugins/registry.ts";
}

function isGuarded(path: string): boolean {
  return path.startsWith("src/") || path.startsWith("plugins/");
}
