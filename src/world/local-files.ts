/**
 * Local files as the command line reads and writes them: streams of bounded chunks; a written file appears under its
 * name only when complete.
 */
import { randomUUID } from "node:crypto";
import { open, realpath, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { DaosError } from "../base/errors.ts";
import { MIB } from "../base/limits.ts";
import { diskError } from "./disk-error.ts";

const CHUNK_BYTES = 1 * MIB;

export interface LocalSource {
  readonly sizeBytes: number | undefined;
  readonly chunks: AsyncIterable<Uint8Array>;
}

export interface LocalSink {
  write(bytes: Uint8Array): Promise<void>;
  commit(): Promise<void>;
  abort(): Promise<void>;
}

/** Rejects with NOT_FOUND, PERMISSION, INVALID_ARGUMENT (a folder) or IO. */
export async function openSource(path: string): Promise<LocalSource> {
  const file = await open(path, "r").catch((error: unknown) => fail("read", path, error));
  const found = await file.stat();
  if (found.isDirectory()) {
    await file.close();
    throw new DaosError("INVALID_ARGUMENT", `Cannot read "${path}": it is a folder. Name a file.`);
  }
  async function* chunks(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
        const { bytesRead } = await file
          .read(chunk, 0, CHUNK_BYTES, null)
          .catch((error: unknown) => fail("read", path, error));
        if (bytesRead === 0) return;
        yield chunk.subarray(0, bytesRead);
      }
    } finally {
      await file.close();
    }
  }
  return { sizeBytes: found.isFile() ? found.size : undefined, chunks: chunks() };
}

/**
 * A regular file is written beside its place and renamed over it; what is there and is no regular file (a device, a pipe)
 * is written straight through. Links are followed. Rejects with NOT_FOUND, PERMISSION, NO_SPACE or IO.
 */
export async function openSink(path: string): Promise<LocalSink> {
  const place = await realpath(path).catch(() => path);
  const existing = await stat(place).catch(() => undefined);
  const isStraight = existing !== undefined && !existing.isFile();
  const draft = isStraight ? place : join(dirname(place), `.${randomUUID()}.partial`);
  const file = await open(draft, isStraight ? "w" : "wx").catch((error: unknown) => fail("write", path, error));
  return {
    async write(bytes) {
      for (let at = 0; at < bytes.length;) {
        const { bytesWritten } = await file.write(bytes, at).catch((error: unknown) => fail("write", path, error));
        at += bytesWritten;
      }
    },
    async commit() {
      if (!isStraight) await file.sync().catch((error: unknown) => fail("write", path, error));
      await file.close();
      if (!isStraight) await rename(draft, place).catch((error: unknown) => fail("write", path, error));
    },
    async abort() {
      await file.close();
      if (!isStraight) await rm(draft, { force: true });
    },
  };
}

function fail(action: string, path: string, error: unknown): never {
  throw diskError(action, path, error);
}
