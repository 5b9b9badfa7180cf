/**
 * A lock on a folder among processes of this machine: one at a time works in it, the others wait. The lock is a file with
 * the holder's process id, so that one left behind by a process that died is taken over. Plain Node.
 */
import { linkSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const NAME = ".lock";
const LOOK_AGAIN_MS = 200;
/** A holder that is alive longer than this is waited for no more, milliseconds. */
const MOST_WAIT_MS = 15 * 60_000;

/** Runs `work` while nobody else does in this folder. */
export function withLock(folder, work) {
  const path = join(folder, NAME);
  acquire(path);
  try {
    return work();
  } finally {
    rmSync(path, { force: true });
  }
}

function acquire(path) {
  const mine = `${path}-${process.pid}`;
  writeFileSync(mine, String(process.pid));
  try {
    for (let waitedMs = 0; !tryLink(mine, path); waitedMs += LOOK_AGAIN_MS) {
      if (waitedMs >= MOST_WAIT_MS) throw new Error(`Cannot lock "${path}": it is held. Remove that file.`);
      if (isAbandoned(path)) rmSync(path, { force: true });
      else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_AGAIN_MS);
    }
  } finally {
    rmSync(mine, { force: true });
  }
}

/** The link is made with its content in place: nobody reads a lock without an owner. */
function tryLink(from, to) {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  }
}

function isAbandoned(path) {
  try {
    process.kill(Number(readFileSync(path, "utf8")), 0);
    return false;
  } catch (error) {
    return error.code === "ESRCH";
  }
}
