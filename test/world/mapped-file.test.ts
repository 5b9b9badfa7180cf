import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MIB } from "../../src/base/limits.ts";
import { MappedFile } from "../../src/world/mapped-file.ts";

const SIZE_BYTES = 64 * MIB;

test.if(process.platform === "linux")("release gives back the pages of a mapped file, whose content stays", () => {
  const folder = mkdtempSync(join(tmpdir(), "daos-mapped-"));
  try {
    const path = join(folder, "file with a blank");
    writeFileSync(path, Buffer.alloc(SIZE_BYTES, 7));
    symlinkSync(folder, `${folder}.link`);
    const bytes = Bun.mmap(path, { shared: true });
    const sum = (): number => {
      let total = 0;
      for (let offset = 0; offset < bytes.length; offset += 4096) total += bytes[offset]!;
      return total;
    };
    const expected = (SIZE_BYTES / 4096) * 7;
    expect(sum()).toBe(expected);
    const mapped = new MappedFile(join(`${folder}.link`, "file with a blank"));
    const beforeBytes = mapped.residentBytes();
    expect(beforeBytes).toBeGreaterThanOrEqual(SIZE_BYTES);
    mapped.release();
    expect(mapped.residentBytes()).toBeLessThan(beforeBytes - SIZE_BYTES / 2);
    expect(sum()).toBe(expected);
  } finally {
    rmSync(`${folder}.link`, { force: true });
    rmSync(folder, { recursive: true, force: true });
  }
});
