/**
 * Makes one executable out of entry points: Bun, the program, its worker threads, the LMDB library and the addons that
 * were built, all in one file that runs from any folder with nothing beside it. Foreign plugins are still loaded by path.
 *
 * Native libraries are normally found by searching the disk at run time; inside an executable there is nothing to find,
 * so the bundler is shown a literal `require` of each file instead and embeds it.
 */
import type { BunPlugin } from "bun";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";

export interface ExecutableOptions {
  /** Main module first, then those of worker threads; all in one folder, so that they find one another by file name. */
  readonly entryPoints: readonly string[];
  readonly outputPath: string;
}

/** Builds for the machine it runs on. Throws an Error that lists what the bundler complained about. */
export async function buildExecutable(options: ExecutableOptions): Promise<void> {
  const first = options.entryPoints[0];
  if (first === undefined) throw new Error("Cannot build an executable: no entry point. Name the main module.");
  const result = await Bun.build({
    entrypoints: [...options.entryPoints],
    root: dirname(first),
    target: "bun",
    minify: { syntax: true, whitespace: true, identifiers: false },
    // What is imported when it is needed is also read then: the gRPC client alone would cost every start 19 ms.
    splitting: true,
    sourcemap: "linked",
    plugins: [embedLmdb(), leaveOutExtractors(), embedAddons()],
    // An executable's behaviour must not depend on files that happen to lie in the folder it is started in.
    compile: { outfile: options.outputPath, autoloadDotenv: false, autoloadBunfig: false },
    throw: false,
  });
  if (result.success) return;
  throw new Error(`Cannot build "${options.outputPath}":\n${result.logs.map(String).join("\n")}`);
}

/** The lmdb package's native file for this machine, from its platform package. */
function lmdbLibrary(importer: string): string {
  const require = createRequire(importer);
  const platformPackage = `@lmdb/lmdb-${process.platform}-${process.arch}`;
  const folder = dirname(require.resolve(`${platformPackage}/package.json`));
  const libc = process.platform === "linux" ? (isMusl() ? ".musl" : ".glibc") : "";
  const path = join(folder, `node.napi${libc}.node`);
  if (!existsSync(path)) throw new Error(`Cannot embed LMDB: "${path}" is missing. Run "npm run setup".`);
  return path;
}

function isMusl(): boolean {
  return existsSync("/etc/alpine-release");
}

/** Replaces the native loader in lmdb by a literal require of the library. */
function embedLmdb(): BunPlugin {
  return {
    name: "embed-lmdb",
    setup(build) {
      build.onResolve({ filter: /^node-gyp-build-optional-packages$/ }, ({ importer }) =>
        /[/\\]node_modules[/\\]lmdb[/\\]/.test(importer)
          ? { path: `${lmdbLibrary(importer)}.loader`, namespace: "lmdb-loader" }
          : undefined,
      );
      build.onLoad({ filter: /.*/, namespace: "lmdb-loader" }, ({ path }) => ({
        contents: `module.exports = () => require(${JSON.stringify(path.replace(/\.loader$/, ""))});`,
        loader: "js",
      }));
    },
  };
}

/** cbor-x and msgpackr do without their optional native string extractors. */
function leaveOutExtractors(): BunPlugin {
  return {
    name: "leave-out-extractors",
    setup(build) {
      build.onResolve({ filter: /^(cbor-extract|msgpackr-extract)$/ }, ({ path }) => ({ path, namespace: "left-out" }));
      build.onLoad({ filter: /.*/, namespace: "left-out" }, () => ({
        contents: "module.exports = null;",
        loader: "js",
      }));
    },
  };
}

/**
 * Embeds the addons that were built. One that was not, or whose libraries the machine lacks that it is started on, throws
 * when a plugin asks for it, and names the Debian packages: native/<name>/packages.json is not part of the executable.
 */
function embedAddons(): BunPlugin {
  return {
    name: "embed-addons",
    setup(build) {
      build.onResolve({ filter: /\bbuild\/Release\/[^/]+\.node$/ }, ({ path, resolveDir, importer }) =>
        importer.endsWith(".loader") ? undefined : { path: `${resolve(resolveDir, path)}.loader`, namespace: "addon" },
      );
      build.onLoad({ filter: /.*/, namespace: "addon" }, ({ path }) => {
        const addonPath = path.replace(/\.loader$/, "");
        const packages = debianPackages(addonPath);
        const absent = `it is not part of this executable. Use one built where ${packages} is installed`;
        const lacking = `. Install ${packages}; TMPDIR must name a folder that allows executing`;
        const contents = existsSync(addonPath)
          ? `try { module.exports = require(${JSON.stringify(addonPath)}); }
             catch (error) { throw new Error(error.message.split("\\n")[0] + ${JSON.stringify(lacking)}); }`
          : `throw new Error(${JSON.stringify(absent)});`;
        return { contents, loader: "js" };
      });
    },
  };
}

/** What the addon with this library file is compiled with, in words. */
function debianPackages(addonPath: string): string {
  const path = join(dirname(addonPath), "..", "..", "packages.json");
  if (!existsSync(path)) return "a C++ compiler";
  const { debianPackages: names } = JSON.parse(readFileSync(path, "utf8")) as { debianPackages: readonly string[] };
  return names.join(" ");
}
