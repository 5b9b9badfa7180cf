/**
 * Standard input and output of the process, as the command line takes them: bytes out with back-pressure, bytes in as a
 * stream. A reader of standard output that goes away is the error EPIPE, never an uncaught one.
 */
import { fstatSync, writeSync } from "node:fs";

export interface ConsoleStream {
  readonly isTerminal: boolean;
  write(bytes: Uint8Array): Promise<void>;
}

class ProcessStream implements ConsoleStream {
  readonly #stream: NodeJS.WriteStream;
  readonly #fd: number;
  #broken: Error | undefined;

  constructor(stream: NodeJS.WriteStream, fd: number) {
    this.#stream = stream;
    this.#fd = fd;
    stream.on("error", (error: Error) => {
      this.#broken ??= error;
    });
  }

  get isTerminal(): boolean {
    return this.#stream.isTTY === true;
  }

  /** Files are written at once, so that nothing is lost when the process ends; pipes and terminals with back-pressure. */
  write(bytes: Uint8Array): Promise<void> {
    if (this.#broken !== undefined) return Promise.reject(this.#broken);
    if (isFile(this.#fd)) {
      for (let at = 0; at < bytes.length;) at += writeSync(this.#fd, bytes, at);
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      this.#stream.write(bytes, (error) => (error === null || error === undefined ? resolve() : reject(error)));
    });
  }
}

function isFile(fd: number): boolean {
  try {
    return fstatSync(fd).isFile();
  } catch {
    return false;
  }
}

export function standardOutput(): ConsoleStream {
  return new ProcessStream(process.stdout, 1);
}

export function standardError(): ConsoleStream {
  return new ProcessStream(process.stderr, 2);
}

/** Standard input, read once from front to back. */
export function standardInput(): {
  readonly sizeBytes: number | undefined;
  readonly chunks: AsyncIterable<Uint8Array>;
} {
  return { sizeBytes: undefined, chunks: Bun.stdin.stream() as unknown as AsyncIterable<Uint8Array> };
}
