// See device-file.h. Alignments come from statx where the kernel knows them (6.1 and later), else from the device's
// sectors, else they are a page, which every device and file system takes.
#include "device-file.h"

#include <cerrno>
#include <cstdio>
#include <fstream>

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#ifndef STATX_DIOALIGN
#error "The kernel's headers are older than 6.1: install linux-libc-dev of Debian 12 or later."
#endif

namespace uring {
namespace {

constexpr std::uint32_t kPageBytes = 4096;
// A process that was killed holds its files until the kernel has ended what its ring was doing: so long it may take.
constexpr int kHeldWaitMs = 3000;
constexpr int kHeldRetryMs = 10;

// Tries until it succeeds (0), fails with another error than `held`, or has taken too long; its last errno.
template <typename Attempt>
int WhileHeld(int held, const Attempt& attempt) {
  for (int waited_ms = 0;; waited_ms += kHeldRetryMs) {
    const int error = attempt();
    if (error != held || waited_ms >= kHeldWaitMs) return error;
    usleep(kHeldRetryMs * 1000);
  }
}

bool IsMounted(dev_t device) {
  std::ifstream mounts("/proc/self/mountinfo");
  char wanted[48];
  std::snprintf(wanted, sizeof(wanted), " %u:%u ", major(device), minor(device));
  for (std::string line; std::getline(mounts, line);) {
    if (line.find(wanted) != std::string::npos) return true;
  }
  return false;
}

DeviceFile Failed(DeviceFile file, OpenStep step, int error) {
  if (file.descriptor >= 0) close(file.descriptor);
  file.descriptor = -1;
  file.error = error;
  file.failed_step = step;
  return file;
}

int MeasureBlockDevice(DeviceFile* file) {
  std::uint64_t size_bytes = 0;
  int sector_bytes = 0;
  int read_only = 0;
  if (ioctl(file->descriptor, BLKGETSIZE64, &size_bytes) != 0) return errno;
  if (ioctl(file->descriptor, BLKSSZGET, &sector_bytes) != 0) return errno;
  if (ioctl(file->descriptor, BLKROGET, &read_only) != 0) return errno;
  if (read_only != 0) return EROFS;
  file->size_bytes = size_bytes;
  file->block_bytes = static_cast<std::uint32_t>(sector_bytes);
  file->memory_alignment_bytes = file->block_bytes;
  return 0;
}

// Through the system call itself: the C library's structure is older than the fields.
void ReadAlignments(DeviceFile* file) {
  struct statx status = {};
  if (syscall(SYS_statx, file->descriptor, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) != 0) return;
  if ((status.stx_mask & STATX_DIOALIGN) == 0) return;
  if (status.stx_dio_offset_align != 0) file->block_bytes = status.stx_dio_offset_align;
  if (status.stx_dio_mem_align != 0) file->memory_alignment_bytes = status.stx_dio_mem_align;
}

}  // namespace

DeviceFile OpenDeviceFile(const std::string& path) {
  DeviceFile file;
  struct stat status = {};
  if (stat(path.c_str(), &status) != 0) return Failed(file, OpenStep::kFind, errno);
  if (S_ISDIR(status.st_mode)) return Failed(file, OpenStep::kFind, EISDIR);
  if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) return Failed(file, OpenStep::kFind, ENOTBLK);
  file.is_block_device = S_ISBLK(status.st_mode);
  // On a block device O_EXCL fails while it, or a part of it, is mounted or in use by another who asked for it so.
  const int exclusive = file.is_block_device ? O_EXCL : 0;
  const int open_error = WhileHeld(EBUSY, [&] {
    file.descriptor = open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC | exclusive);
    const int error = file.descriptor < 0 ? errno : 0;
    file.is_mounted = error == EBUSY && IsMounted(status.st_rdev);
    return file.is_mounted ? 0 : error;
  });
  if (file.is_mounted) return Failed(file, OpenStep::kOpen, EBUSY);
  if (open_error != 0) return Failed(file, OpenStep::kOpen, open_error);
  const int lock_error = WhileHeld(EWOULDBLOCK, [&] {
    return flock(file.descriptor, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
  });
  if (lock_error != 0) return Failed(file, OpenStep::kLock, lock_error);
  // What was opened counts, not what was found a moment before.
  struct stat opened = {};
  if (fstat(file.descriptor, &opened) != 0) return Failed(file, OpenStep::kMeasure, errno);
  if ((opened.st_mode & S_IFMT) != (status.st_mode & S_IFMT)) return Failed(file, OpenStep::kMeasure, ESTALE);
  file.size_bytes = static_cast<std::uint64_t>(opened.st_size);
  file.block_bytes = kPageBytes;
  file.memory_alignment_bytes = kPageBytes;
  if (file.is_block_device) {
    const int error = MeasureBlockDevice(&file);
    if (error != 0) return Failed(file, OpenStep::kMeasure, error);
  }
  ReadAlignments(&file);
  return file;
}

}  // namespace uring
