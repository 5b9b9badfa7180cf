/**
 * Makes one executable out of entry points: Bun, the program, its worker threads, the LMDB library and the addons that
 * were built, all in one file that runs from any folder with nothing beside it. Foreign plugins are still loaded by path.
 *
 * Native libraries are normally found by searching the disk at run time; inside an executable there is nothing to find,
 * so the bundler is shown a literal `require` of each file instead and embeds it.
 */
import type { BunPlugin } from "bun";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

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
    sourcemap: "linked",
    plugins: [embedLmdb(), leaveOutExtractors(), leaveOutMissingAddons()],
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

/** An addon that was not built becomes a module that says so when a plugin asks for it. */
function leaveOutMissingAddons(): BunPlugin {
  return {
    name: "leave-out-missing-addons",
    setup(build) {
      build.onResolve({ filter: /native\/[^/]+\/build\/Release\/[^/]+\.node$/ }, ({ path, resolveDir }) =>
        existsSync(join(resolveDir, path)) ? undefined : { path, namespace: "missing-addon" },
      );
      build.onLoad({ filter: /.*/, namespace: "missing-addon" }, ({ path }) => ({
        contents: `throw new Error(${JSON.stringify(`addon ${path} is not part of this executable`)});`,
        loader: "js",
      }));
    },
  };
}
