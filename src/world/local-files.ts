/**
 * Local files as the command line reads and writes them: streams of bounded chunks; a written file appears under its
 * name only when complete.
 */
import { randomUUID } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
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
  const stat = await file.stat();
  if (stat.isDirectory()) {
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
  return { sizeBytes: stat.isFile() ? stat.size : undefined, chunks: chunks() };
}

/** Rejects with NOT_FOUND, PERMISSION, NO_SPACE or IO. */
export async function openSink(path: string): Promise<LocalSink> {
  const draft = join(dirname(path), `.${randomUUID()}.partial`);
  const file = await open(draft, "wx").catch((error: unknown) => fail("write", path, error));
  return {
    async write(bytes) {
      for (let at = 0; at < bytes.length;) {
        const { bytesWritten } = await file.write(bytes, at).catch((error: unknown) => fail("write", path, error));
        at += bytesWritten;
      }
    },
    async commit() {
      await file.sync().catch((error: unknown) => fail("write", path, error));
      await file.close();
      await rename(draft, path).catch((error: unknown) => fail("write", path, error));
    },
    async abort() {
      await file.close();
      await rm(draft, { force: true });
    },
  };
}

function fail(action: string, path: string, error: unknown): never {
  throw diskError(action, path, error);
}
