/**
 * The world as arguments: clock, timers, random, disk, network, threads. src/world implements these on Bun; the
 * simulation implements them from one seed. Nothing else in src touches the runtime's own.
 */
export interface Clock {
  /** Wall clock, milliseconds since 1970, with fractions. May jump: by more than a little only once a clock has stayed so for a while. */
  wallMs(): number;
  /** Never goes back; nanoseconds from an arbitrary origin. */
  monotonicNs(): number;
}

export interface Timers {
  /** Runs `callback` once after `delayMs`. Returns what cancels it; cancelling twice is harmless. */
  after(delayMs: number, callback: () => void): () => void;
  /** Runs `callback` after the I/O events of this turn of the event loop are handled. */
  soon(callback: () => void): void;
}

export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** Fills `bytes`; unpredictable in the real world, seeded in simulation. */
  fill(bytes: Uint8Array): void;
}

export interface OpenFileOptions {
  /** Make the file if it is not there. */
  readonly create?: boolean;
  readonly readOnly?: boolean;
  /** Each write is durable when it returns (O_DSYNC). */
  readonly durable?: boolean;
  /** Pass by the page cache (O_DIRECT) where the file system can: offset, length and memory must be 4 KiB aligned. */
  readonly direct?: boolean;
}

/**
 * One open file. Offsets and lengths in bytes. The buffer belongs to the file until the call returns or its promise
 * settles. Failures are DaosError IO, NO_SPACE or READ_ONLY.
 */
export interface DiskFile {
  readonly path: string;
  sizeBytes(): number;
  /** Reads until `buffer` is full or the file ends; returns the bytes read. */
  readSync(buffer: Uint8Array, offset: number): number;
  read(buffer: Uint8Array, offset: number): Promise<number>;
  /** Writes all of `buffer`. Durable on return only if opened so. */
  writeSync(buffer: Uint8Array, offset: number): void;
  write(buffer: Uint8Array, offset: number): Promise<void>;
  /** All earlier completed writes are durable (fdatasync). */
  syncSync(): void;
  sync(): Promise<void>;
  truncate(sizeBytes: number): void;
  /** Reserves the bytes and marks them written (zeros), so that later overwrites change no metadata. */
  preallocate(sizeBytes: number): void;
  /** Frees the blocks behind the range; it reads as zeros. False where the file system cannot. */
  punchHole(offset: number, length: number): boolean;
  close(): void;
}

export interface Disk {
  openFile(path: string, options?: OpenFileOptions): DiskFile;
  exists(path: string): boolean;
  /** Makes the folder and its parents. */
  makeFolder(path: string): void;
  /** Names in a folder, sorted. */
  list(path: string): string[];
  /** Removes a file or a folder with all in it. No error when absent. */
  remove(path: string): void;
  /** Atomic replacement, durable on return. */
  rename(from: string, to: string): void;
  /** Bytes free to us on the file system that holds `path`. */
  freeBytes(path: string): number;
  /**
   * Takes the folder's exclusive lock until the process ends or `release` is called. Throws BUSY with the holder's pid.
   * A lock left by a dead process is no obstacle.
   */
  lockFolder(path: string): { release(): void };
}

/** A stream of bytes to a peer. All callbacks come on the owner's event loop. */
export interface Socket {
  readonly remoteAddress: string;
  /**
   * Takes as many bytes as the kernel will: returns that count, possibly 0, or -1 when the socket is closed. Bytes not
   * taken stay the caller's, who writes them again on `drain`. Taken bytes may be reused at once.
   */
  write(bytes: Uint8Array): number;
  /**
   * Fills `buffer` from its start with bytes that have arrived and were not handed over yet; returns how many, 0 when there
   * are none now or this socket cannot. Only from within `received`: large payloads come to their place without a copy.
   */
  receive(buffer: Uint8Array): number;
  /** Stops and restarts `received` (back-pressure to the peer). */
  pause(): void;
  resume(): void;
  /** Sends what was taken, then closes. */
  end(): void;
  /** Closes at once. */
  terminate(): void;
}

export interface SocketHandlers {
  /** `bytes` are valid only during the call: copy what must be kept. */
  received(bytes: Uint8Array): void;
  drain(): void;
  /** Called once; `error` when the peer or the network broke it. */
  closed(error?: Error): void;
}

export interface Listener {
  readonly host: string;
  readonly port: number;
  close(): void;
}

export interface Network {
  /** Listens; `accept` returns the handlers of each new socket. Port 0 picks one. Throws UNAVAILABLE (address in use). */
  listen(host: string, port: number, accept: (socket: Socket) => SocketHandlers): Listener;
  /** Connects; rejects with UNAVAILABLE or, on the signal, CANCELED. */
  connect(
    host: string,
    port: number,
    open: (socket: Socket) => SocketHandlers,
    options?: { timeoutMs?: number; signal?: AbortSignal },
  ): Promise<Socket>;
}

/** Hears one datagram. `bytes` are valid only during the call; `host` is the numeric address of the sender. */
export type DatagramHandler = (bytes: Uint8Array, host: string, port: number) => void;

export interface DatagramSocket {
  readonly host: string;
  readonly port: number;
  /**
   * Sends one datagram, or does not: whatever keeps it from being sent, an unknown name or a full buffer, is as if it
   * were lost. The bytes may be reused at once.
   */
  send(bytes: Uint8Array, host: string, port: number): void;
  /** Nothing is heard or sent any more. Closing twice is harmless. */
  close(): void;
}

/** Datagrams: each arrives whole or not at all, perhaps twice, in any order (UDP). */
export interface DatagramNetwork {
  /** Port 0 picks one. Rejects with UNAVAILABLE (address in use). */
  bind(host: string, port: number, received: DatagramHandler): Promise<DatagramSocket>;
}

/** A message channel to another thread. Messages are structured-cloned; `transfer` moves buffers. */
export interface Thread {
  post(message: unknown, transfer?: ArrayBuffer[]): void;
  onMessage(handler: (message: unknown) => void): void;
  /** The thread ended: `error` when it threw. */
  onExit(handler: (error?: Error) => void): void;
  terminate(): void;
}

export interface World {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly disk: Disk;
  readonly network: Network;
  readonly datagrams: DatagramNetwork;
}
