/**
 * Bytes between the command line and the outside: files, standard input and output. Memory stays bounded whatever the
 * size; a file that is being written appears under its name only when all of it is there.
 */
import { DaosError } from "../base/errors.ts";
import type { ByteSource } from "./environment.ts";
import type { Progress } from "./progress.ts";
import type { Session } from "./session.ts";
import { streamFailure } from "./stream-failure.ts";

/** The file, or standard input for `-`. */
export async function openSource(session: Session, path: string): Promise<ByteSource> {
  if (path !== "-") return await session.environment.files.openSource(path);
  const { sizeBytes, chunks } = session.environment.openStdin();
  return { sizeBytes, chunks: standardInput(chunks) };
}

async function* standardInput(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  try {
    yield* chunks;
  } catch (error) {
    throw streamFailure("read standard input", error);
  }
}

/** All bytes of a file or standard input; undefined when there are more than `limitBytes`. */
export async function readWhole(session: Session, path: string, limitBytes: number): Promise<Uint8Array | undefined> {
  const source = await openSource(session, path);
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of untilAborted(source.chunks, session.signal)) {
    sizeBytes += chunk.length;
    if (sizeBytes > limitBytes) return undefined;
    chunks.push(new Uint8Array(chunk));
  }
  return Buffer.concat(chunks, sizeBytes);
}

/** Writes a file that did not exist or is replaced as a whole. */
export async function writeWhole(session: Session, path: string, bytes: Uint8Array): Promise<void> {
  await writeFrom(session, path, [bytes], undefined);
}

/** Writes what comes to a file, which is complete or as it was before. Returns the bytes written. */
export async function writeFrom(
  session: Session,
  path: string,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  progress: Progress | undefined,
): Promise<number> {
  const sink = await session.environment.files.openSink(path);
  let sizeBytes = 0;
  try {
    for await (const chunk of untilAborted(chunks, session.signal)) {
      await sink.write(chunk);
      sizeBytes += chunk.length;
      progress?.advance(chunk.length);
    }
  } catch (error) {
    await sink.abort();
    throw error;
  }
  await sink.commit();
  return sizeBytes;
}

/**
 * The chunks of a source until it ends, or until the signal fires: then CANCELED at once, also while the source is
 * being waited for, as standard input often is.
 */
export async function* untilAborted(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  const iterator = Symbol.asyncIterator in chunks ? chunks[Symbol.asyncIterator]() : chunks[Symbol.iterator]();
  // One promise a chunk: racing each against one that lives as long as the stream would keep every chunk alive.
  let cancelWait: ((error: Error) => void) | undefined;
  const cancel = (): void => cancelWait?.(canceled());
  signal.addEventListener("abort", cancel, { once: true });
  let ended = false;
  try {
    for (;;) {
      if (signal.aborted) throw canceled();
      const next = await new Promise<IteratorResult<Uint8Array, unknown>>((resolve, reject) => {
        cancelWait = reject;
        Promise.resolve(iterator.next()).then(resolve, reject);
      });
      cancelWait = undefined;
      if (next.done === true) break;
      yield next.value;
    }
    ended = true;
  } finally {
    signal.removeEventListener("abort", cancel);
    // A source that still waits for its next chunk ends only after it: nobody may wait for that.
    if (!ended) void Promise.resolve(iterator.return?.()).catch(() => {});
  }
}

function canceled(): DaosError {
  return new DaosError("CANCELED", "Cannot finish: canceled. What was not acknowledged may be half done.");
}

/** The chunks, each counted when it has been taken. */
export async function* countedChunks(
  chunks: AsyncIterable<Uint8Array>,
  count: (sizeBytes: number) => void,
): AsyncGenerator<Uint8Array, void, void> {
  for await (const chunk of chunks) {
    const sizeBytes = chunk.length;
    yield chunk;
    count(sizeBytes);
  }
}
