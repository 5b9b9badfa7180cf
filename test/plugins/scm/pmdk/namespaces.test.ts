import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { listPersistentMemory } from "../../../../plugins/scm/pmdk/namespaces.ts";
import { mountsOf } from "../../../../plugins/scm/pmdk/pmem-mounts.ts";
import { realWorld } from "../../../../src/world/index.ts";
import { inTemporaryFolder } from "../../../conformance/support.ts";

const ND = "sys/bus/nd/devices";

/** A machine with two regions: an fsdax and a devdax namespace on healthy modules, a sector and a raw one on a sick one. */
const TREE: Readonly<Record<string, string>> = {
  [`${ND}/region0/size`]: "8589934592",
  [`${ND}/region0/available_size`]: "1073741824",
  [`${ND}/region0/persistence_domain`]: "memory_controller",
  [`${ND}/region0/numa_node`]: "1",
  [`${ND}/region0/mapping0`]: "nmem0,0,4294967296,0",
  [`${ND}/region0/mapping1`]: "nmem10,0,4294967296,1",
  [`${ND}/region0/badblocks`]: "",
  [`${ND}/nmem0/nfit/dirty_shutdown`]: "3",
  [`${ND}/nmem0/nfit/flags`]: "smart_notify",
  [`${ND}/nmem10/nfit/dirty_shutdown`]: "4",
  [`${ND}/nmem10/nfit/flags`]: "",
  [`${ND}/namespace0.0/size`]: "4294967296",
  [`${ND}/namespace0.0/mode`]: "memory",
  [`${ND}/namespace0.0/holder`]: "pfn0.0",
  [`${ND}/namespace0.0/numa_node`]: "1",
  [`${ND}/pfn0.0/block/pmem0/size`]: "8257536",
  "sys/block/pmem0/badblocks": "",
  [`${ND}/namespace0.1/size`]: "2147483648",
  [`${ND}/namespace0.1/mode`]: "dax",
  [`${ND}/namespace0.1/holder`]: "dax0.1",
  [`${ND}/namespace0.1/numa_node`]: "-1",
  [`${ND}/dax0.1/dax0.1/size`]: "x",
  "sys/bus/dax/devices/dax0.1/size": "2111832064",
  [`${ND}/namespace0.2/size`]: "0",
  [`${ND}/region1/size`]: "2147483648",
  [`${ND}/region1/available_size`]: "0",
  [`${ND}/region1/read_only`]: "1",
  [`${ND}/region1/mapping0`]: "nmem2,0,2147483648,0",
  [`${ND}/region1/badblocks`]: "8 2\n100 1",
  [`${ND}/nmem2/nfit/flags`]: "save_fail not_armed smart_notify",
  [`${ND}/namespace1.0/size`]: "1073741824",
  [`${ND}/namespace1.0/mode`]: "safe",
  [`${ND}/namespace1.0/holder`]: "btt1.0",
  [`${ND}/btt1.0/block/pmem1s/size`]: "2095104",
  [`${ND}/namespace1.1/size`]: "1073741824",
  [`${ND}/namespace1.1/mode`]: "raw",
  [`${ND}/namespace1.1/holder`]: "",
  [`${ND}/namespace1.1/block/pmem1.1/size`]: "2097152",
  "sys/block/pmem1.1/badblocks": "0 8",
  [`${ND}/pfn_seed`]: "",
  "proc/self/mountinfo": [
    "24 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw",
    "60 24 259:0 / /mnt/scm\\040tier rw,relatime shared:2 - xfs /dev/pmem0 rw,attr2,dax=always,inode64",
    "61 24 0:22 / /proc rw - proc proc rw",
    "62 24 259:1 / /old rw - ext4 /dev/pmem1.1p1 rw",
  ].join("\n"),
};

function listing(tree: Readonly<Record<string, string>>): Promise<ReturnType<typeof listPersistentMemory>> {
  return inTemporaryFolder((root) => {
    for (const [path, text] of Object.entries(tree)) {
      mkdirSync(join(root, dirname(path)), { recursive: true });
      writeFileSync(join(root, path), `${text}\n`);
    }
    return listPersistentMemory(realWorld().disk, root);
  });
}

test("regions: size, room, persistence domain, NUMA node", async () => {
  const { regions } = await listing(TREE);
  expect(regions).toEqual([
    {
      name: "region0",
      sizeBytes: 8589934592,
      availableBytes: 1073741824,
      persistenceDomain: "memory_controller",
      numaNode: 1,
    },
    { name: "region1", sizeBytes: 2147483648, availableBytes: 0 },
  ]);
});

test("namespaces: mode, device, usable size, mount and health", async () => {
  const { namespaces } = await listing(TREE);
  const sick = ["module nmem2 reports save_fail", "module nmem2 reports not_armed"];
  expect(namespaces).toEqual([
    {
      name: "namespace0.0",
      region: "region0",
      mode: "fsdax",
      sizeBytes: 8257536 * 512,
      numaNode: 1,
      device: "/dev/pmem0",
      mount: { device: "/dev/pmem0", folder: "/mnt/scm tier", fileSystem: "xfs", dax: true },
      health: { state: "healthy", badBytes: 0, unsafeShutdowns: 7, problems: [] },
    },
    {
      name: "namespace0.1",
      region: "region0",
      mode: "devdax",
      sizeBytes: 2111832064,
      device: "/dev/dax0.1",
      health: { state: "healthy", badBytes: 0, unsafeShutdowns: 7, problems: [] },
    },
    {
      name: "namespace1.0",
      region: "region1",
      mode: "sector",
      sizeBytes: 2095104 * 512,
      device: "/dev/pmem1s",
      health: {
        state: "degraded",
        badBytes: 3 * 512,
        problems: [...sick, "1536 bytes have media errors", "region1 is read-only"],
      },
    },
    {
      name: "namespace1.1",
      region: "region1",
      mode: "raw",
      sizeBytes: 2097152 * 512,
      device: "/dev/pmem1.1",
      mount: { device: "/dev/pmem1.1p1", folder: "/old", fileSystem: "ext4", dax: false },
      health: {
        state: "degraded",
        badBytes: 4096,
        problems: [...sick, "4096 bytes have media errors", "region1 is read-only"],
      },
    },
  ]);
});

test("a machine without persistent memory has none; noise in sysfs is no error", async () => {
  expect(await listing({ "proc/self/mountinfo": "" })).toEqual({ regions: [], namespaces: [] });
  const { namespaces } = await listing({ [`${ND}/namespace0.0/size`]: "1024", [`${ND}/namespace0.0/mode`]: "???" });
  expect(namespaces).toEqual([
    {
      name: "namespace0.0",
      region: "region0",
      mode: "unknown",
      sizeBytes: 1024,
      health: { state: "unknown", badBytes: 0, problems: [] },
    },
  ]);
});

test("mountinfo: lines that are none are passed over", () => {
  expect(mountsOf("garbage\n\n1 2 3\n1 2 3:4 / /x rw - ext4")).toEqual([]);
  expect(mountsOf("1 2 3:4 / /x rw - ext4 /dev/pmem0 rw,dax")).toEqual([
    { device: "/dev/pmem0", folder: "/x", fileSystem: "ext4", dax: true },
  ]);
});
