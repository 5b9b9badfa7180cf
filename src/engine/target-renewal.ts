/**
 * Targets whose log or index is damaged cannot be opened. When all that such a target had has been made good elsewhere, which
 * the control plane knows, it is made anew, empty, and filled as one that comes back. The permission is written down, and the
 * next start makes it anew: nothing of the old store is open then. Without it the engine stays away, as a dead one does, until
 * others have what it had; a supervisor tries again and again.
 */
import type { HybridLogicalClock } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import type { Hmac } from "../control/capability-authority.ts";
import { MetaRecords } from "../control/meta-records.ts";
import type { MetaStore } from "../contracts/meta-store.ts";
import type { Disk, World } from "../contracts/world.ts";
import type { EngineAddress, EngineRenewArguments } from "../format/engine-operations.ts";
import { LEADER_KEY } from "../format/meta-key.ts";
import { Opcode } from "../format/operations.ts";
import type { StorageSuperblock } from "../format/storage-superblock.ts";
import type { Configuration } from "./configuration.ts";
import { PeerLink } from "./peer-link.ts";
import { targetFolder } from "./storage-folder.ts";
import { sayHello } from "./system-member.ts";

/** In a target's folder: what it has was found damaged, so that it cannot be filled. */
const DAMAGED_FILE = "damaged";
/** It is to be made anew at the next start. */
const RENEW_FILE = "renew";
/** As it is called when that is done. */
const RENEWED_FILE = "renewed";
const RENEW_TIMEOUT_MS = 5_000;
/** An engine that could go on stays away so long for others to take over what a damaged target has, and no longer. */
const LONGEST_AWAY_MS = 600_000;

/** These targets of an engine are damaged, and nothing else kept it from starting. */
export class DamagedTargets extends DaosError {
  readonly targets: readonly number[];

  constructor(message: string, targets: readonly number[]) {
    super("CORRUPT", message);
    this.targets = targets;
  }
}

/** Whether the target with this folder is to be made anew. */
export function isToRenew(disk: Disk, folder: string): boolean {
  return disk.exists(`${folder}/${RENEW_FILE}`);
}

/** It has been. Durable on return: from then on it may take data. */
export function noteRenewed(disk: Disk, folder: string): void {
  disk.remove(`${folder}/${DAMAGED_FILE}`);
  disk.rename(`${folder}/${RENEW_FILE}`, `${folder}/${RENEWED_FILE}`);
}

/** The target was found damaged while it was open. */
export function noteDamaged(disk: Disk, folder: string, nowMs: number): void {
  writeDown(disk, `${folder}/${DAMAGED_FILE}`, String(nowMs));
}

/** Since when the target is known to be damaged, milliseconds since 1970. */
function damagedSince(disk: Disk, folder: string): number | undefined {
  const path = `${folder}/${DAMAGED_FILE}`;
  if (!disk.exists(path)) return undefined;
  const file = disk.openFile(path, { readOnly: true });
  try {
    const text = Buffer.alloc(file.sizeBytes());
    file.readSync(text, 0);
    return Number(text.toString()) || 0;
  } finally {
    file.close();
  }
}

export interface TargetRenewalParts {
  readonly world: World;
  readonly software: string;
  readonly hmac: Hmac;
  readonly epochs: HybridLogicalClock;
  readonly configuration: Configuration;
  readonly superblock: StorageSuperblock;
  readonly rank: number;
  readonly key: Uint8Array;
  /** Where the control plane may be. */
  readonly addresses: readonly EngineAddress[];
  /** Of a system whose records several engines have open: it knows who leads. */
  readonly metaStore: MetaStore | undefined;
}

/**
 * What a start that failed with `error` fails with: UNAVAILABLE when its damaged targets are made anew at the next one.
 * Otherwise `error`, or CORRUPT with the reason why they are not yet.
 */
export async function askRenewal(error: unknown, parts: TargetRenewalParts): Promise<never> {
  if (!(error instanceof DamagedTargets)) throw error;
  const { disk } = parts.world;
  const folders = error.targets.map((target) => targetFolder(parts.configuration.storage, target));
  // It is something else that is damaged, and would be again.
  if (folders.some((folder) => isToRenew(disk, folder))) throw error;
  const addresses = await addressesOf(parts);
  if (addresses.length === 0) throw error;
  const refusal = await refusalOf(parts, addresses, error.targets);
  if (refusal !== undefined) throw new DaosError("CORRUPT", `${error.message} It is not made anew yet: ${refusal}`);
  for (const folder of folders) writeDown(disk, `${folder}/${RENEW_FILE}`, `${error.message}\n`);
  const state = `all that target(s) ${error.targets.join(", ")} had is elsewhere`;
  throw new DaosError("UNAVAILABLE", `${error.message} But ${state}: made anew, empty, when the engine starts again.`);
}

/** Before targets are opened: rejects as askRenewal while some that were found damaged are to be made anew. */
export async function checkDamage(parts: TargetRenewalParts): Promise<void> {
  const { superblock, configuration, world } = parts;
  const damaged = Array.from({ length: superblock.targets }, (_, index) => index).filter((index) => {
    const folder = targetFolder(configuration.storage, index);
    const since = isToRenew(world.disk, folder) ? undefined : damagedSince(world.disk, folder);
    if (since === undefined) return false;
    const isOver = Math.abs(world.clock.wallMs() - since) > LONGEST_AWAY_MS;
    if (isOver) world.disk.remove(`${folder}/${DAMAGED_FILE}`);
    return !isOver;
  });
  if (damaged.length === 0 || !mayAsk(parts)) return;
  await askRenewal(new DamagedTargets(`Target(s) ${damaged.join(", ")} were found damaged.`, damaged), parts);
}

/** Whether there is anybody who can tell that others have what it had. */
export function mayAsk({ addresses, metaStore }: TargetRenewalParts): boolean {
  return addresses.length > 0 || metaStore !== undefined;
}

async function addressesOf({ addresses, metaStore }: TargetRenewalParts): Promise<readonly EngineAddress[]> {
  if (metaStore === undefined) return addresses;
  const leader = await new MetaRecords(metaStore).get("leader", LEADER_KEY);
  return leader === undefined ? addresses : [leader.record, ...addresses];
}

/** Why they may not be made anew, as the first control plane says that is reached; undefined: they may. */
async function refusalOf(
  { world, software, hmac, epochs, superblock, configuration, rank, key }: TargetRenewalParts,
  addresses: readonly EngineAddress[],
  targets: readonly number[],
): Promise<string | undefined> {
  const { network, timers, clock } = world;
  const peers = { network, timers, clock, epochs, hmac, software };
  const { engine, id, system: name } = superblock;
  const facts = { engine, domain: configuration.faultDomain, targets: superblock.targets, system: { id, name } };
  let refusal = "nobody is asked.";
  for (const { host, port } of addresses) {
    let link: PeerLink | undefined;
    try {
      const { control } = await sayHello({ host, port }, facts, key, peers);
      link = new PeerLink(control, key, peers);
      await link.send<EngineRenewArguments>(Opcode.engineRenew, { rank, targets }, RENEW_TIMEOUT_MS);
      return undefined;
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
      refusal = error.message;
    } finally {
      link?.close();
    }
  }
  return refusal;
}

function writeDown(disk: Disk, path: string, text: string): void {
  const file = disk.openFile(`${path}.new`, { create: true });
  try {
    file.writeSync(Buffer.from(text), 0);
    file.syncSync();
  } finally {
    file.close();
  }
  disk.rename(`${path}.new`, path);
}
