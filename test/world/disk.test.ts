import { expect, test } from "bun:test";
import { chmodSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { RealDisk } from "../../src/world/disk.ts";
import { diskError } from "../../src/world/disk-error.ts";
import { expectBytes, expectCode, inTemporaryFolder, isZero, pattern } from "../conformance/support.ts";

const disk = new RealDisk();

test("what is written is read, synchronously or not, and reads at the end are short", () =>
  inTemporaryFolder(async (folder) => {
    const file = disk.openFile(`${folder}/a`, { create: true });
    const bytes = pattern(300_000, 1);
    file.writeSync(bytes.subarray(0, 100_000), 0);
    await file.write(bytes.subarray(100_000), 100_000);
    expect(file.sizeBytes()).toBe(300_000);
    for (const read of [
      (into: Uint8Array, at: number) => file.read(into, at),
      (into: Uint8Array, at: number) => file.readSync(into, at),
    ]) {
      const into = new Uint8Array(300_000);
      expect(await read(into, 0)).toBe(300_000);
      expectBytes(into, bytes);
      expect(await read(into, 299_990)).toBe(10);
      expect(await read(into, 300_000)).toBe(0);
      expect(await read(into, 999_999)).toBe(0);
    }
    file.syncSync();
    await file.sync();
    file.close();
    file.close();
  }));

test("reads go round the page cache or through it to the same bytes (many, out of order)", () =>
  inTemporaryFolder(async (folder) => {
    const bytes = pattern(1024 * 1024, 2);
    writeFileSync(`${folder}/a`, bytes);
    for (const direct of [true, false]) {
      const file = disk.openFile(`${folder}/a`, { readOnly: true, direct });
      const reads = Array.from({ length: 256 }, async (_, index) => {
        const offset = ((index * 37) % 256) * 4096;
        const into = new Uint8Array(4096);
        expect(await file.read(into, offset)).toBe(4096);
        expectBytes(into, bytes.subarray(offset, offset + 4096));
      });
      await Promise.all(reads);
      file.close();
    }
  }));

test("direct files bounce memory that is not aligned", () =>
  inTemporaryFolder(async (folder) => {
    const file = disk.openFile(`${folder}/a`, { create: true, direct: true, durable: true });
    const odd = new Uint8Array(16_384).subarray(9, 9 + 8192);
    odd.set(pattern(8192, 3));
    file.writeSync(odd, 0);
    await file.write(odd, 8192);
    const into = new Uint8Array(20_000).subarray(3, 3 + 8192);
    expect(file.readSync(into, 0)).toBe(8192);
    expectBytes(into, odd);
    into.fill(0);
    expect(await file.read(into, 8192)).toBe(8192);
    expectBytes(into, odd);
    file.close();
  }));

test("preallocate takes real blocks of zeros behind what is there", () =>
  inTemporaryFolder(async (folder) => {
    const file = disk.openFile(`${folder}/a`, { create: true });
    file.writeSync(pattern(100, 4), 0);
    file.preallocate(1024 * 1024);
    file.preallocate(1000);
    file.close();
    const bytes = readFileSync(`${folder}/a`);
    expect(bytes.length).toBe(1024 * 1024);
    expectBytes(bytes.subarray(0, 100), pattern(100, 4));
    expect(isZero(bytes.subarray(100))).toBe(true);
    expect(statSync(`${folder}/a`).blocks * 512).toBeGreaterThanOrEqual(1024 * 1024);
  }));

test("a preallocation that does not fit: NO_SPACE or IO, and the file has its old size", () =>
  inTemporaryFolder(async (folder) => {
    const script = `
      import { RealDisk } from ${JSON.stringify(import.meta.resolve("../../src/world/disk.ts"))};
      const file = new RealDisk().openFile(${JSON.stringify(`${folder}/a`)}, { create: true });
      process.on("SIGXFSZ", () => {});
      file.writeSync(new Uint8Array(10), 0);
      try { file.preallocate(64 * 1024 * 1024); } catch (error) { console.log(error.code, file.sizeBytes()); }`;
    const child = Bun.spawnSync(["sh", "-c", `ulimit -f 2048; exec "$0" -e "$1"`, process.execPath, script]);
    expect(child.stdout.toString().trim()).toBe("NO_SPACE 10");
  }));

test("a punched hole reads as zeros and gives its blocks back", () =>
  inTemporaryFolder(async (folder) => {
    const file = disk.openFile(`${folder}/a`, { create: true });
    file.writeSync(pattern(1024 * 1024, 5), 0);
    file.syncSync();
    const before = statSync(`${folder}/a`).blocks;
    expect(file.punchHole(4096, 1024 * 1024 - 8192)).toBe(true);
    const into = new Uint8Array(1024 * 1024);
    expect(file.readSync(into, 0)).toBe(1024 * 1024);
    expect(isZero(into.subarray(4096, 1024 * 1024 - 4096))).toBe(true);
    expectBytes(into.subarray(0, 4096), pattern(1024 * 1024, 5).subarray(0, 4096));
    expect(statSync(`${folder}/a`).blocks).toBeLessThan(before);
    file.close();
  }));

test("folders, names, rename, remove", () =>
  inTemporaryFolder(async (folder) => {
    disk.makeFolder(`${folder}/x/y/z`);
    disk.makeFolder(`${folder}/x/y/z`);
    disk.openFile(`${folder}/x/b`, { create: true }).close();
    disk.openFile(`${folder}/x/a`, { create: true }).close();
    expect(disk.list(`${folder}/x`)).toEqual(["a", "b", "y"]);
    writeFileSync(`${folder}/x/a`, "new");
    disk.rename(`${folder}/x/a`, `${folder}/x/b`);
    expect(readFileSync(`${folder}/x/b`, "utf8")).toBe("new");
    expect(disk.exists(`${folder}/x/a`)).toBe(false);
    disk.remove(`${folder}/x`);
    disk.remove(`${folder}/x`);
    expect(disk.list(folder)).toEqual([]);
    expect(disk.freeBytes(folder)).toBeGreaterThan(0);
  }));

test("removing a link leaves what it points to; a dangling one goes too", () =>
  inTemporaryFolder(async (folder) => {
    mkdirSync(`${folder}/kept`);
    writeFileSync(`${folder}/kept/file`, "kept");
    symlinkSync(`${folder}/kept`, `${folder}/link`);
    symlinkSync(`${folder}/nowhere`, `${folder}/dangling`);
    disk.remove(`${folder}/link`);
    disk.remove(`${folder}/dangling`);
    expect(disk.list(folder)).toEqual(["kept"]);
    expect(disk.list(`${folder}/kept`)).toEqual(["file"]);
  }));

test("errors carry the path, the state and a code", () =>
  inTemporaryFolder(async (folder) => {
    await expectCode("NOT_FOUND", () => disk.openFile(`${folder}/absent`));
    await expectCode("NOT_FOUND", () => disk.list(`${folder}/absent`));
    await expectCode("NOT_FOUND", () => disk.freeBytes(`${folder}/absent`));
    await expectCode("NOT_FOUND", () => disk.rename(`${folder}/absent`, `${folder}/b`));
    writeFileSync(`${folder}/file`, "");
    await expectCode("IO", () => disk.makeFolder(`${folder}/file`));
    await expectCode("NOT_FOUND", () => disk.openFile(`${folder}/file/under`, { create: true }));
    expect(() => disk.openFile(`${folder}/absent`)).toThrow(`Cannot open "${folder}/absent": there is no such file`);
    const full = diskError("write", "/x", Object.assign(new Error("full"), { code: "ENOSPC" }));
    expect(full.code).toBe("NO_SPACE");
    const readOnly = disk.openFile(`${folder}/file`, { readOnly: true });
    await expectCode("IO", () => readOnly.writeSync(new Uint8Array(1), 0));
    await expectCode("IO", () => readOnly.write(new Uint8Array(1), 0));
    readOnly.close();
    await expectCode("IO", () => readOnly.readSync(new Uint8Array(1), 0));
  }));

test("a folder that may not be written: READ_ONLY", () =>
  inTemporaryFolder(async (folder) => {
    if (process.getuid?.() === 0) return; // Root may write anywhere.
    chmodSync(folder, 0o500);
    await expectCode("READ_ONLY", () => disk.openFile(`${folder}/a`, { create: true }));
    await expectCode("READ_ONLY", () => disk.makeFolder(`${folder}/b`));
    await expectCode("READ_ONLY", () => disk.lockFolder(folder));
    chmodSync(folder, 0o700);
  }));

test("a locked folder: BUSY with the holder's pid, in this process and in another, until it is released", () =>
  inTemporaryFolder(async (folder) => {
    const lock = disk.lockFolder(folder);
    await expectCode("BUSY", () => disk.lockFolder(folder));
    expect(() => disk.lockFolder(folder)).toThrow(`process ${process.pid} holds it`);
    const script = `
      import { RealDisk } from ${JSON.stringify(import.meta.resolve("../../src/world/disk.ts"))};
      try { new RealDisk().lockFolder(${JSON.stringify(folder)}); console.log("locked"); }
      catch (error) { console.log(error.message); }`;
    const other = (): string => Bun.spawnSync([process.execPath, "-e", script]).stdout.toString();
    expect(other()).toContain(`process ${process.pid} holds it`);
    lock.release();
    lock.release();
    expect(other()).toBe("locked\n");
  }));

test("the lock of a process that was killed is no obstacle, not even while its own child lives", () =>
  inTemporaryFolder(async (folder) => {
    const script = `
      import { RealDisk } from ${JSON.stringify(import.meta.resolve("../../src/world/disk.ts"))};
      new RealDisk().lockFolder(${JSON.stringify(folder)});
      const child = Bun.spawn(["sleep", "60"], { stdio: ["ignore", "ignore", "ignore"] });
      console.log(child.pid);
      setInterval(() => {}, 1000);`;
    const holder = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe" });
    const reader = holder.stdout.getReader();
    const childPid = Number(new TextDecoder().decode((await reader.read()).value));
    await expectCode("BUSY", () => disk.lockFolder(folder));
    holder.kill("SIGKILL");
    await holder.exited;
    disk.lockFolder(folder).release();
    process.kill(childPid, "SIGKILL");
  }));
