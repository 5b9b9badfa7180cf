/**
 * The limit of one durable operation at a time: a TCP round trip to an echo server in another process, then a durable
 * 4 KiB overwrite of a preallocated file, one after the other. No store can be quicker on this machine; the sum is what
 * a put with one in flight is held against. What a server that does nothing but write and answer makes of it is measured
 * too: both processes sleep while the other works, and waking up takes its time.
 */
import { closeSync, constants, fsyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Contender } from "./benchmark.ts";
import { median } from "./table.ts";
import type { Figures } from "./table.ts";

const BLOCK_BYTES = 4096;
const BLOCKS = 4096;
const OPERATIONS = 3000;
const MESSAGE_BYTES = 150;

/** Answers each message with itself; one that begins with WRITE_FIRST after a durable write to the file given. */
const WRITE_FIRST = 1;
const ECHO = `const fs = require("node:fs");
const { O_WRONLY, O_DIRECT, O_DSYNC } = fs.constants;
const file = fs.openSync(process.argv[1], O_WRONLY | O_DIRECT | O_DSYNC);
const block = new Uint8Array(new SharedArrayBuffer(1024 * 1024), 0, ${BLOCK_BYTES});
let at = 0;
const data = (socket, bytes) => {
  if (bytes[0] === ${WRITE_FIRST}) fs.writeSync(file, block, 0, ${BLOCK_BYTES}, (at++ % ${BLOCKS}) * ${BLOCK_BYTES});
  socket.write(bytes);
};
console.log(Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data } }).port);`;

export class LimitContender implements Contender {
  readonly name: string;
  readonly #isDurable: boolean;
  #folder = "";
  #echo: ReturnType<typeof startEcho> | undefined;
  #port = 0;

  /** `isDurable` false: the round trip alone is the limit, where making durable costs next to nothing. */
  constructor(isDurable = true) {
    this.#isDurable = isDurable;
    this.name = isDurable ? "TCP round trip + durable 4 KiB write" : "TCP round trip";
  }

  async start(): Promise<void> {
    this.#folder = mkdtempSync(join(tmpdir(), "daos-limit-"));
    this.#writeBlocks();
    this.#echo = startEcho(this.#path);
    const { value } = await this.#echo.stdout.getReader().read();
    this.#port = Number(new TextDecoder().decode(value));
  }

  get serverPid(): number {
    return this.#echo!.pid;
  }

  async measure(): Promise<Figures> {
    const roundTripUs = await this.#roundTripUs(0);
    if (!this.#isDurable) return { "p50 us": roundTripUs };
    const writeUs = this.#durableWriteUs();
    return {
      "p50 us": roundTripUs + writeUs,
      "round trip us": roundTripUs,
      "durable write us": writeUs,
      "bare server us": await this.#roundTripUs(WRITE_FIRST),
    };
  }

  get #path(): string {
    return join(this.#folder, "blocks");
  }

  #writeBlocks(): void {
    const plain = openSync(this.#path, "w");
    writeSync(plain, new Uint8Array(BLOCK_BYTES * BLOCKS), 0, BLOCK_BYTES * BLOCKS, 0);
    fsyncSync(plain);
    closeSync(plain);
  }

  async #roundTripUs(firstByte: number): Promise<number> {
    let answered: () => void = () => {};
    const socket = await Bun.connect({ hostname: "127.0.0.1", port: this.#port, socket: { data: () => answered() } });
    socket.setNoDelay(true);
    const message = new Uint8Array(MESSAGE_BYTES);
    message[0] = firstByte;
    const times: number[] = [];
    for (let count = 0; count < OPERATIONS; count += 1) {
      const start = performance.now();
      const answer = new Promise<void>((resolve) => {
        answered = resolve;
      });
      socket.write(message);
      await answer;
      times.push((performance.now() - start) * 1000);
    }
    socket.end();
    return median(times);
  }

  /** The cheapest way this machine has: O_DIRECT with O_DSYNC over blocks that were written before. */
  #durableWriteUs(): number {
    const file = openSync(this.#path, constants.O_WRONLY | constants.O_DIRECT | constants.O_DSYNC);
    const block = new Uint8Array(new SharedArrayBuffer(1024 * 1024), 0, BLOCK_BYTES);
    const times: number[] = [];
    for (let count = 0; count < OPERATIONS; count += 1) {
      const start = performance.now();
      writeSync(file, block, 0, BLOCK_BYTES, (count % BLOCKS) * BLOCK_BYTES);
      times.push((performance.now() - start) * 1000);
    }
    closeSync(file);
    return median(times);
  }

  async stop(): Promise<void> {
    this.#echo?.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function startEcho(path: string) {
  return Bun.spawn([process.execPath, "-e", ECHO, path], { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
}
