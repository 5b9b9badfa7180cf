// Page-aligned memory for I/O, straight from the kernel. The caller owns what it maps and unmaps it with the same size.
// What it promises: address and size are multiples of 2 MiB, so that huge pages fit where the machine has them; the
// bytes are zero; a child process does not inherit them, so that a fork never copies a page that a device writes to.
#pragma once

#include <cstddef>

namespace uring {

constexpr std::size_t kPagesUnitBytes = 2 * 1024 * 1024;

// Null when there is no memory. `size_bytes` is a multiple of kPagesUnitBytes above zero.
void* MapPages(std::size_t size_bytes);

void UnmapPages(void* address, std::size_t size_bytes);

}  // namespace uring
