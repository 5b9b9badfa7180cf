import { expect, test } from "bun:test";
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { openSync, closeSync, writeSync } from "node:fs";
import { join } from "node:path";
import { FileRangeView } from "../../src/world/file-range-view.ts";
import { expectBytes, expectCode, inTemporaryFolder, pattern } from "../conformance/support.ts";

test("FileRangeView shows a range that begins and ends off the alignment, and writes to the file at once", () =>
  inTemporaryFolder((folder) => {
    const path = join(folder, "file");
    const bytes = pattern(64 * 1024, 1);
    writeFileSync(path, bytes);
    const view = new FileRangeView({ path, offset: 8192 + 100, sizeBytes: 20_000, alignmentBytes: 4096 });
    expectBytes(view.bytes, bytes.subarray(8292, 28_292));
    const descriptor = openSync(path, "r+");
    writeSync(descriptor, Buffer.from("seen"), 0, 4, 8292 + 7);
    closeSync(descriptor);
    expect(Buffer.from(view.bytes.subarray(7, 11)).toString()).toBe("seen");
    view.close();
    view.close();
    expect(readFileSync("/proc/self/maps", "utf8")).not.toContain(folder);
    truncateSync(path, 0);
  }));

test("FileRangeView of what is not there: NOT_FOUND; of a folder: an error", () =>
  inTemporaryFolder(async (folder) => {
    const range = { offset: 0, sizeBytes: 4096, alignmentBytes: 4096 };
    await expectCode("NOT_FOUND", () => new FileRangeView({ path: join(folder, "absent"), ...range }));
    await expectCode("IO", () => new FileRangeView({ path: folder, ...range }));
  }));
