/**
 * Opens the file or block device of a target through the addon `uring` and says in words why it cannot be had.
 */
import { FAILED_STEPS, type OpenedFile, type UringAddon, uringAddon } from "../../../native/uring/addon.ts";
import { DaosError } from "../../../src/base/errors.ts";
import { Errno, errnoError, errnoName } from "./errno.ts";
import { NativeRing } from "./native-ring.ts";
import type { RingFile } from "./ring.ts";

/** Block sizes that the contract allows. */
const BLOCK_SIZES: readonly number[] = [512, 4096];

/** See `OpenRingFile`. */
export function openNativeFile(path: string): RingFile {
  const result = uringAddon();
  if ("reason" in result) throw new DaosError("UNSUPPORTED", result.reason);
  const { addon } = result;
  const file = addon.openFile(path);
  if (file.descriptor < 0) throw openError(path, file);
  // The kernel's own limit may be finer than a sector where a file system does better: the contract begins at 512.
  const blockBytes = Math.max(file.blockBytes, 512);
  if (!BLOCK_SIZES.includes(blockBytes)) {
    addon.closeFile(file.descriptor);
    throw new DaosError(
      "UNSUPPORTED",
      `Cannot use "${path}": its blocks have ${blockBytes} bytes. Use a device with sectors of 512 or 4096 bytes.`,
    );
  }
  return {
    isBlockDevice: file.isBlockDevice === 1,
    sizeBytes: file.sizeBytes,
    blockBytes,
    memoryAlignmentBytes: Math.max(file.memoryAlignmentBytes, 1),
    open: (wake) => new NativeRing(addon, path, file.descriptor, wake),
    close: () => void addon.closeFile(file.descriptor),
  };
}

/** Why io_uring cannot serve on this machine; undefined when it can. */
export function nativeProblem(): string | undefined {
  const result = uringAddon();
  return "reason" in result ? result.reason : kernelProblem(result.addon);
}

function kernelProblem(addon: UringAddon): string | undefined {
  const errno = addon.probe();
  if (errno === 0) return undefined;
  if (errno === Errno.ENOSYS) {
    return "Cannot use io_uring: the kernel has none (ENOSYS). Run a kernel of 5.11 or later, or allow io_uring_setup in the container.";
  }
  if (errno === 1) {
    return "Cannot use io_uring: it is forbidden here (EPERM). Set kernel.io_uring_disabled=0 with sysctl, or allow it in the container's seccomp profile.";
  }
  return `Cannot use io_uring: the kernel refused a ring (${errnoName(errno)}). Raise ulimit -l and ulimit -n.`;
}

function openError(path: string, file: OpenedFile): DaosError {
  const { error } = file;
  const step = FAILED_STEPS[file.failedStep] ?? "none";
  if (error === Errno.ENOENT) {
    return new DaosError("NOT_FOUND", `Cannot open "${path}": there is no such file or device. Check the path.`);
  }
  if (error === Errno.EISDIR) {
    return new DaosError("CONFIGURATION", `Cannot open "${path}": it is a folder. Name a file or a block device.`);
  }
  if (step === "find" && error === Errno.ENOTBLK) {
    return new DaosError(
      "CONFIGURATION",
      `Cannot open "${path}": it is neither a file nor a block device. Name one of these.`,
    );
  }
  if (file.isMounted === 1) {
    return new DaosError("BUSY", `Cannot open "${path}": it is mounted. Unmount it or choose another device.`);
  }
  if (error === Errno.EBUSY) {
    return new DaosError(
      "BUSY",
      `Cannot open "${path}": it, or a partition of it, is in use by another program or mounted. Free it or choose another device.`,
    );
  }
  if (step === "lock") {
    return new DaosError(
      "BUSY",
      `Cannot open "${path}": another target or engine has it open. Give each target a path of its own.`,
    );
  }
  if (step === "open" && error === Errno.EINVAL) {
    return new DaosError(
      "UNSUPPORTED",
      `Cannot open "${path}": its file system has no direct I/O (O_DIRECT). ` +
        "Use ext4, xfs, btrfs or a block device, or configure block-device file.",
    );
  }
  return errnoError("open", path, error);
}
