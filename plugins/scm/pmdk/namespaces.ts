/**
 * The persistent memory of a machine as Linux tells it in sysfs: regions (what the memory modules offer) and namespaces
 * (what was made of them with ndctl), with what each may be used for and what is wrong with it. Reads only; a kernel
 * without persistent memory gives empty lists, an attribute that is missing is left out.
 */
import type { Disk } from "../../../src/contracts/world.ts";
import { mountsOf, type PmemMount } from "./pmem-mounts.ts";
import { Sysfs } from "./sysfs.ts";

export interface PmemRegion {
  readonly name: string;
  readonly sizeBytes: number;
  /** Not taken by a namespace. */
  readonly availableBytes: number;
  /** How far power-fail protection reaches: `memory_controller`, `cpu_cache`. */
  readonly persistenceDomain?: string;
  readonly numaNode?: number;
}

export interface PmemHealth {
  /** `unknown`: the driver tells nothing about the modules. */
  readonly state: "healthy" | "degraded" | "unknown";
  /** Bytes with media errors, of the whole region where the namespace has no list of its own. */
  readonly badBytes: number;
  /** Sum over the modules. */
  readonly unsafeShutdowns?: number;
  /** What is wrong, one clause each. */
  readonly problems: readonly string[];
}

export interface PmemNamespace {
  readonly name: string;
  readonly region: string;
  /** `fsdax` and `devdax` serve scm/pmdk; `sector` and `raw` do not. */
  readonly mode: "fsdax" | "devdax" | "sector" | "raw" | "unknown";
  /** What may be used of it. */
  readonly sizeBytes: number;
  readonly numaNode?: number;
  /** `/dev/pmem0` or `/dev/dax0.0`; absent while no driver has it. */
  readonly device?: string;
  readonly mount?: PmemMount;
  readonly health: PmemHealth;
}

export interface PmemListing {
  readonly regions: readonly PmemRegion[];
  readonly namespaces: readonly PmemNamespace[];
}

const ND_DEVICES = "sys/bus/nd/devices";
const SECTOR_BYTES = 512;
/** Flags of a module that are no trouble. */
const HARMLESS_FLAGS: ReadonlySet<string> = new Set(["smart_notify"]);

const MODES: Readonly<Record<string, PmemNamespace["mode"]>> = {
  memory: "fsdax",
  fsdax: "fsdax",
  dax: "devdax",
  devdax: "devdax",
  safe: "sector",
  sector: "sector",
  raw: "raw",
};

/** All regions and namespaces, sorted by name. `root`: where sys and proc are, `/` on a real machine. */
export function listPersistentMemory(disk: Disk, root = "/"): PmemListing {
  const sysfs = new Sysfs(disk, root);
  const names = sysfs.list(ND_DEVICES);
  const mounts = mountsOf(sysfs.text("proc/self/mountinfo") ?? "");
  const regions = names.filter((name) => /^region\d+$/.test(name)).map((name) => regionOf(sysfs, name));
  const namespaces = names
    .filter((name) => /^namespace\d+\.\d+$/.test(name))
    .flatMap((name) => namespaceOf(sysfs, name, mounts) ?? []);
  return { regions, namespaces };
}

function regionOf(sysfs: Sysfs, name: string): PmemRegion {
  const folder = `${ND_DEVICES}/${name}`;
  const persistenceDomain = sysfs.text(`${folder}/persistence_domain`);
  return {
    name,
    sizeBytes: sysfs.number(`${folder}/size`) ?? 0,
    availableBytes: sysfs.number(`${folder}/available_size`) ?? 0,
    ...(persistenceDomain !== undefined && persistenceDomain !== "" && { persistenceDomain }),
    ...numaNodeOf(sysfs, folder),
  };
}

/** Undefined for the seeds that the kernel keeps for new namespaces: they have no size. */
function namespaceOf(sysfs: Sysfs, name: string, mounts: readonly PmemMount[]): PmemNamespace | undefined {
  const folder = `${ND_DEVICES}/${name}`;
  const sizeBytes = sysfs.number(`${folder}/size`) ?? 0;
  if (sizeBytes === 0) return undefined;
  const region = `region${/\d+/.exec(name)![0]}`;
  const holder = sysfs.text(`${folder}/holder`) ?? "";
  const user = holder === "" ? folder : `${ND_DEVICES}/${holder}`;
  const block = sysfs.list(`${user}/block`)[0];
  const character = block === undefined ? characterDeviceOf(sysfs, user) : undefined;
  const device = block ?? character;
  const mount = block === undefined ? undefined : mounts.find(({ device: mounted }) => isPartOf(mounted, block));
  return {
    name,
    region,
    mode: MODES[sysfs.text(`${folder}/mode`) ?? ""] ?? "unknown",
    sizeBytes: usableBytes(sysfs, user, block, character) ?? sizeBytes,
    ...numaNodeOf(sysfs, folder),
    ...(device !== undefined && { device: `/dev/${device}` }),
    ...(mount !== undefined && { mount }),
    health: healthOf(sysfs, region, block),
  };
}

/** The devdax device below the nd device; older kernels have a folder `dax` between. */
function characterDeviceOf(sysfs: Sysfs, user: string): string | undefined {
  const below = [...sysfs.list(user), ...sysfs.list(`${user}/dax`)];
  return below.find((name) => /^dax\d+\.\d+$/.test(name) && sysfs.exists(`sys/bus/dax/devices/${name}`));
}

function usableBytes(
  sysfs: Sysfs,
  user: string,
  block: string | undefined,
  character: string | undefined,
): number | undefined {
  if (block !== undefined) {
    const sectors = sysfs.number(`${user}/block/${block}/size`);
    return sectors === undefined ? undefined : sectors * SECTOR_BYTES;
  }
  return character === undefined ? undefined : sysfs.number(`sys/bus/dax/devices/${character}/size`);
}

/** Whether `/dev/pmem0p1` (or `/dev/pmem0`) is on `pmem0`. */
function isPartOf(device: string, block: string): boolean {
  return (
    device === `/dev/${block}` || (device.startsWith(`/dev/${block}p`) && /^p\d+$/.test(device.slice(5 + block.length)))
  );
}

function numaNodeOf(sysfs: Sysfs, folder: string): { numaNode?: number } {
  const numaNode = sysfs.number(`${folder}/numa_node`);
  return numaNode === undefined || numaNode < 0 ? {} : { numaNode };
}

function healthOf(sysfs: Sysfs, region: string, block: string | undefined): PmemHealth {
  const own = block === undefined ? undefined : sysfs.text(`sys/block/${block}/badblocks`);
  const badBytes = badBytesOf(own ?? sysfs.text(`${ND_DEVICES}/${region}/badblocks`) ?? "");
  const modules = modulesOf(sysfs, region);
  const problems = modules.flatMap((name) => moduleProblems(sysfs, name));
  if (badBytes > 0) problems.push(`${badBytes} bytes have media errors`);
  if (sysfs.text(`${ND_DEVICES}/${region}/read_only`) === "1") problems.push(`${region} is read-only`);
  const counts = modules.flatMap((name) => sysfs.number(`${ND_DEVICES}/${name}/nfit/dirty_shutdown`) ?? []);
  const state = problems.length > 0 ? "degraded" : modules.length > 0 ? "healthy" : "unknown";
  const unsafeShutdowns = counts.reduce((sum, count) => sum + count, 0);
  return { state, badBytes, ...(counts.length > 0 && { unsafeShutdowns }), problems };
}

/** A line of a bad block list: first sector and count. */
function badBytesOf(list: string): number {
  const counts = list.split("\n").map((line) => Number(/^\d+ (\d+)$/.exec(line.trim())?.[1] ?? 0));
  return counts.reduce((sum, count) => sum + count, 0) * SECTOR_BYTES;
}

/** Names of the modules behind a region: `mapping0` reads `nmem0,0,4294967296,0`. */
function modulesOf(sysfs: Sysfs, region: string): string[] {
  const mappings = sysfs.list(`${ND_DEVICES}/${region}`).filter((name) => /^mapping\d+$/.test(name));
  return mappings.flatMap((name) => /^nmem\d+/.exec(sysfs.text(`${ND_DEVICES}/${region}/${name}`) ?? "")?.[0] ?? []);
}

function moduleProblems(sysfs: Sysfs, name: string): string[] {
  const flags = (sysfs.text(`${ND_DEVICES}/${name}/nfit/flags`) ?? "").split(/\s+/);
  const troubles = flags.filter((flag) => flag !== "" && !HARMLESS_FLAGS.has(flag));
  return troubles.map((flag) => `module ${name} reports ${flag}`);
}
