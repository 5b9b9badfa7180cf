// Opens the file or block device that a ring works on, past the page cache and for this process alone, and measures it.
// A failure is an errno and the step it came from, for the caller to put into words. The caller closes the descriptor.
#pragma once

#include <cstdint>
#include <string>

namespace uring {

enum class OpenStep { kNone, kFind, kOpen, kLock, kMeasure };

struct DeviceFile {
  int descriptor = -1;
  bool is_block_device = false;
  std::uint64_t size_bytes = 0;
  // Offsets and lengths of direct I/O are multiples of this.
  std::uint32_t block_bytes = 0;
  // Addresses of direct I/O are multiples of this.
  std::uint32_t memory_alignment_bytes = 0;

  int error = 0;
  OpenStep failed_step = OpenStep::kNone;
  // Why a block device is busy: a file system on it is mounted.
  bool is_mounted = false;
};

// Takes a lock on the open file that ends with the descriptor; EWOULDBLOCK when another descriptor holds it.
DeviceFile OpenDeviceFile(const std::string& path);

}  // namespace uring
