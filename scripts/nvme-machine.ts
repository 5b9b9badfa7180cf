/**
 * `npm run test:nvme`: block-device `spdk` on an NVMe device, with Debian packages only. Boots Debian's kernel under
 * qemu-system-x86_64 without hardware acceleration, with an emulated NVMe device behind an emulated IOMMU; the guest binds
 * the device to vfio-pci and runs test/fixtures/nvme-guest-process.ts, first with ordinary memory, then with huge pages. The
 * host then looks for what was written on the device's image. Ends with status 1 when anything is not as it must be.
 *
 * Packages are downloaded by apt-get once, into a cache folder, and unpacked there; nothing is installed.
 */
import { closeSync, cpSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, readSync } from "node:fs";
import { rmSync, truncateSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { expectBytes, pattern } from "../test/fixtures/nvme-guest-pattern.ts";
import { buildExecutable } from "./executable.ts";

const ROOT = join(import.meta.dir, "..");
const CACHE = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "daos", "nvme-machine");
const MIB = 1024 * 1024;
const IMAGE_BYTES = 256 * MIB;
/** Where the first target's data begin: after its label. */
const DATA_BYTE = 1 * MIB;
const LIBRARIES = "usr/lib/x86_64-linux-gnu";
const MACHINE_TIMEOUT_MS = 5 * 60_000;
const GUEST_MEMORY_MIB = 2560;
const MODULES = ["irqbypass", "vfio", "vfio_virqfd", "vfio_iommu_type1", "vfio-pci-core", "vfio-pci"];

const unpacked = unpackPackages();
const folder = mkdtempSync(join(tmpdir(), "daos-nvme-"));
let failures = 0;
try {
  await buildExecutable({
    entryPoints: [join(ROOT, "test", "fixtures", "nvme-guest-process.ts")],
    outputPath: join(folder, "guest"),
  });
  for (const hugePages of ["off", "require"]) {
    const problem = await runMachine(hugePages);
    console.log(`${problem === undefined ? "ok    " : "FAILED"} NVMe over VFIO, huge pages: ${hugePages}`);
    if (problem !== undefined) console.log(problem);
    if (problem !== undefined) failures += 1;
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(`${2 - failures} passed, ${failures} failed`);
process.exit(failures > 0 ? 1 : 0);

/** The folder with the kernel, busybox, and QEMU where it is not installed. */
function unpackPackages(): string {
  const target = join(CACHE, "root");
  if (existsSync(join(target, "complete"))) return target;
  rmSync(target, { recursive: true, force: true });
  const downloads = join(CACHE, "packages");
  mkdirSync(downloads, { recursive: true });
  const kernel = /Depends: (linux-image-\S+)/.exec(output(["apt-cache", "depends", "linux-image-amd64"]))?.[1];
  if (kernel === undefined) fail('Cannot find "linux-image-amd64": apt knows no such package. Run apt-get update.');
  const packages = [kernel, "busybox-static"];
  if (Bun.which("qemu-system-x86_64") === null) packages.push(...missingPackages("qemu-system-x86"));
  output(["apt-get", "download", ...packages], downloads);
  for (const file of readdirSync(downloads)) output(["dpkg-deb", "-x", join(downloads, file), target]);
  writeFileSync(join(target, "complete"), "");
  return target;
}

/** What apt would install for a package: it and what it needs that is not there. */
function missingPackages(name: string): string[] {
  const lines = output(["apt-get", "install", "--print-uris", "-y", "-qq", "--no-install-recommends", name]);
  return [...lines.matchAll(/^'\S+' ([^_\s]+)_/gm)].map((match) => match[1]!);
}

/** What went wrong, with the end of what the machine printed; undefined when nothing did. */
async function runMachine(hugePages: string): Promise<string | undefined> {
  const image = join(folder, "nvme.img");
  writeFileSync(image, "");
  truncateSync(image, 0);
  truncateSync(image, IMAGE_BYTES);
  const machine = Bun.spawn(machineCommand(image, makeInitramfs(hugePages)), {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...libraryEnvironment() },
    timeout: MACHINE_TIMEOUT_MS,
    killSignal: "SIGKILL",
  });
  const [text, complaint] = await Promise.all([
    new Response(machine.stdout).text(),
    new Response(machine.stderr).text(),
    machine.exited,
  ]);
  for (const line of text.matchAll(/^guest: .*$/gm)) console.log(line[0]);
  if (!/^guest: PASSED\r?$/m.test(text)) return `${text.slice(-6000)}\n${complaint.slice(-2000)}`;
  return imageProblem(image);
}

/** Looks at the device from outside. */
function imageProblem(image: string): string | undefined {
  const descriptor = openSync(image, "r");
  const read = (offset: number, length: number): Uint8Array => {
    const bytes = new Uint8Array(length);
    readSync(descriptor, bytes, 0, length, DATA_BYTE + offset);
    return bytes;
  };
  try {
    expectBytes(read(0, MIB), pattern(MIB, 1), "on the image, at 0");
    expectBytes(read(MIB, 4 * MIB), pattern(4 * MIB, 2), "on the image, at 1 MiB");
    for (let block = 0; block < 256; block += 1) {
      expectBytes(read(8 * MIB + block * 4096, 4096), pattern(4096, 1000 + block), `on the image, block ${block}`);
    }
    return undefined;
  } catch (error) {
    return String(error);
  } finally {
    closeSync(descriptor);
  }
}

function machineCommand(image: string, initramfs: string): string[] {
  const installed = Bun.which("qemu-system-x86_64");
  const share = ["qemu", "seabios"].flatMap((name) => ["-L", join(unpacked, "usr", "share", name)]);
  return [
    ...(installed === null ? [join(unpacked, "usr", "bin", "qemu-system-x86_64"), ...share] : [installed]),
    "-machine",
    "q35,accel=tcg",
    "-cpu",
    "max",
    "-smp",
    "2",
    "-m",
    String(GUEST_MEMORY_MIB),
    "-device",
    "intel-iommu,intremap=on,caching-mode=on,aw-bits=48",
    "-drive",
    `file=${image},if=none,id=nvme,format=raw,cache=writeback`,
    "-device",
    "nvme,drive=nvme,serial=daos",
    "-kernel",
    join(unpacked, "boot", bootFile()),
    "-initrd",
    initramfs,
    "-append",
    "console=ttyS0 intel_iommu=on no_timer_check panic=-1 quiet",
    "-display",
    "none",
    "-serial",
    "stdio",
    "-monitor",
    "none",
    "-nic",
    "none",
    "-no-reboot",
  ];
}

function libraryEnvironment(): Record<string, string> {
  if (Bun.which("qemu-system-x86_64") !== null) return {};
  // QEMU's modules are those of qemu-system-common, which is installed; by itself it would look beside its program.
  return { LD_LIBRARY_PATH: join(unpacked, LIBRARIES), QEMU_MODULE_DIR: join("/", LIBRARIES, "qemu") };
}

function bootFile(): string {
  return readdirSync(join(unpacked, "boot")).find((name) => name.startsWith("vmlinuz-"))!;
}

/** A root file system of busybox, the modules, qemu-storage-daemon with its libraries, and the guest's program. */
function makeInitramfs(hugePages: string): string {
  const root = join(folder, `root-${hugePages}`);
  for (const name of ["bin", "proc", "sys", "dev", "tmp", "storage/target-0", "modules"]) {
    mkdirSync(join(root, name), { recursive: true });
  }
  const busybox = join(unpacked, "bin", "busybox");
  cpSync(busybox, join(root, "bin", "busybox"));
  const daemon = Bun.which("qemu-storage-daemon");
  if (daemon === null) fail('Cannot find "qemu-storage-daemon": install qemu-system-common (Debian package name).');
  for (const program of [daemon, join(folder, "guest")]) copyProgram(program, root);
  copyProgram(`/${LIBRARIES}/libstdc++.so.6`, root);
  const files = output(["find", join(unpacked, "lib", "modules"), "-name", "*.ko"])
    .trim()
    .split("\n");
  for (const name of MODULES) {
    const path = files.find((file) => basename(file) === `${name}.ko`);
    if (path !== undefined) cpSync(path, join(root, "modules", `${name}.ko`));
  }
  writeFileSync(join(root, "init"), initScript(hugePages), { mode: 0o755 });
  const archive = join(folder, `${hugePages}.cpio`);
  output(["sh", "-c", `find . | "${busybox}" cpio -o -H newc > "${archive}"`], root);
  return archive;
}

/** The program and the libraries it is linked with, at the same paths. */
function copyProgram(path: string, root: string): void {
  const place = path.startsWith(folder) ? join(root, "bin", basename(path)) : join(root, path);
  mkdirSync(dirname(place), { recursive: true });
  cpSync(path, place, { dereference: true });
  for (const [library] of output(["ldd", path]).matchAll(/\/\S+/g)) {
    mkdirSync(dirname(join(root, library)), { recursive: true });
    cpSync(library, join(root, library), { dereference: true });
  }
}

function initScript(hugePages: string): string {
  return `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin HOME=/tmp
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
${hugePages === "require" ? "echo 32 > /proc/sys/vm/nr_hugepages" : ""}
for name in ${MODULES.join(" ")}; do insmod /modules/$name.ko; done
for device in /sys/bus/pci/devices/*; do
  [ "$(cat $device/class)" = 0x010802 ] && address=$(basename $device)
done
echo vfio-pci > /sys/bus/pci/devices/$address/driver_override
echo $address > /sys/bus/pci/drivers_probe
echo "guest: NVMe at $address, driver $(basename $(readlink /sys/bus/pci/devices/$address/driver))"
/bin/guest $address ${hugePages}
echo "guest: status $?"
poweroff -f
`;
}

function output(command: string[], cwd = ROOT): string {
  const result = Bun.spawnSync(command, { cwd, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  if (result.success) return result.stdout.toString();
  fail(`Cannot run "${command.join(" ")}": ${result.stderr.toString().trim()}`);
}

function fail(message: string): never {
  console.error(message);
  process.exit(1);
}
