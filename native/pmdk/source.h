// What is known of a file or devdax device before it is mapped: kind, size, alignment, and of real persistent memory the
// health that its driver tells. What a machine does not tell is left out and named in `unavailable`, never an error.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pmdk {

struct BadBlock {
  size_t offset;
  size_t length;
};

struct Source {
  size_t size = 0;
  // Offsets and lengths of mappings are multiples of it.
  size_t alignment = 0;
  std::optional<int> numa_node;
  // Of all the modules behind it, opaque.
  std::optional<std::string> device_id;
  std::optional<uint64_t> unsafe_shutdowns;
  // Media errors, offsets from the start of the source; at most MAX_BAD_BLOCKS of them.
  std::optional<std::vector<BadBlock>> bad_blocks;
  std::vector<std::string> unavailable;
};

constexpr size_t MAX_BAD_BLOCKS = 1024;

// One of: absent, folder, file, devdax, block-device, other. Throws Failure when the path cannot be looked at.
const char *kind_of(const std::string &path);

// Throws Failure when it cannot be opened or is of no kind that can be mapped.
Source inspect(const std::string &path);

// Reads `length` bytes from the start into `bytes`, without a lock. A media error is a Failure, not the end of the process.
void read_head(const std::string &path, void *bytes, size_t length);

}  // namespace pmdk
