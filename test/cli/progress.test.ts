/** Progress is for people: nothing in the first second, nothing without a terminal, nothing left behind. */
import { expect, test } from "bun:test";
import { MIB } from "../../src/base/limits.ts";
import { Progress, type ProgressOptions } from "../../src/cli/progress.ts";
import { CapturedStream, ManualTime } from "./harness.ts";

function started(options: ProgressOptions, isTerminal = true) {
  const stream = new CapturedStream();
  stream.isTerminal = isTerminal;
  const time = new ManualTime();
  const progress = new Progress(stream, time, time, options);
  return { stream, time, progress, drawn: () => stream.take().toString().split("\r\u001b[2K").slice(1) };
}

/** Lets queued writes happen. */
async function turn(): Promise<void> {
  for (let index = 0; index < 10; index++) await Promise.resolve();
}

test("nothing is drawn in the first second", async () => {
  const { stream, time, progress } = started({ label: "put f", unit: "bytes", total: 100 });
  progress.advance(50);
  time.advance(999);
  await progress.end();
  expect(stream.take().toString()).toBe("");
  expect(time.pending).toBe(0);
});

test("a bar shows part, amount, rate and time left, and is wiped at the end", async () => {
  const { time, progress, drawn, stream } = started({ label: "put f", unit: "bytes", total: 40 * MIB });
  progress.advance(10 * MIB);
  time.advance(1000);
  await turn();
  expect(drawn()).toEqual(["put f  [######------------------] 25 %  10 MiB  10 MiB/s  3 s left"]);
  progress.advance(30 * MIB);
  for (let step = 0; step < 20; step++) {
    time.advance(50);
    await turn();
  }
  const lines = drawn();
  expect(lines).toHaveLength(10);
  expect(lines.at(-1)).toStartWith("put f  [########################] 100 %  40 MiB  20 MiB/s");
  await progress.end();
  expect(stream.take().toString()).toBe("\r\u001b[2K");
  time.advance(5000);
  await turn();
  expect(stream.take().length).toBe(0);
});

test("a terminal that does not take what is drawn gets no queue of pictures", async () => {
  const { time, stream, progress } = started({ label: "put f", unit: "bytes", total: 100 });
  const taken = Promise.withResolvers<void>();
  let writes = 0;
  stream.write = () => {
    writes += 1;
    return taken.promise;
  };
  time.advance(60_000);
  await turn();
  expect(writes).toBe(1);
  taken.resolve();
  await progress.end();
  expect(writes).toBe(2);
});

test("without a total it shows amount and rate, without a unit the time", async () => {
  const bytes = started({ label: "put -", unit: "bytes", total: undefined });
  bytes.progress.advance(3 * MIB);
  bytes.time.advance(1000);
  await turn();
  expect(bytes.drawn()).toEqual(["put -  3 MiB  3 MiB/s"]);
  const work = started({ label: "Destroying pool tank", unit: "none" });
  work.time.advance(1000);
  await turn();
  expect(work.drawn()).toEqual(["Destroying pool tank  1 s"]);
});

test("seconds advance by themselves", async () => {
  const { time, drawn } = started({ label: "bench kv", unit: "seconds", total: 2 });
  time.advance(1000);
  await turn();
  expect(drawn()).toEqual(["bench kv  [############------------] 50 %  1 s  1 s left"]);
});

test("nothing without a terminal, and a broken terminal harms nobody", async () => {
  const piped = started({ label: "put f", unit: "bytes", total: 100 }, false);
  piped.time.advance(5000);
  await piped.progress.end();
  expect(piped.stream.take().length).toBe(0);
  const broken = started({ label: "put f", unit: "bytes", total: 100 });
  broken.stream.brokenAfterBytes = 0;
  broken.time.advance(5000);
  await broken.progress.end();
});
