// Maps a little more than asked for and gives the ends back, which is how an aligned mapping is had.
#include "pages.h"

#include <cstdint>

#include <sys/mman.h>

namespace uring {

void* MapPages(std::size_t size_bytes) {
  const std::size_t mapped_bytes = size_bytes + kPagesUnitBytes;
  if (size_bytes == 0 || size_bytes % kPagesUnitBytes != 0 || mapped_bytes < size_bytes) return nullptr;
  void* mapped = mmap(nullptr, mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  const auto start = reinterpret_cast<std::uintptr_t>(mapped);
  const std::uintptr_t aligned = (start + kPagesUnitBytes - 1) / kPagesUnitBytes * kPagesUnitBytes;
  const std::size_t before_bytes = aligned - start;
  if (before_bytes > 0) munmap(mapped, before_bytes);
  if (before_bytes < kPagesUnitBytes) {
    munmap(reinterpret_cast<void*>(aligned + size_bytes), kPagesUnitBytes - before_bytes);
  }
  void* address = reinterpret_cast<void*>(aligned);
  // Both are advice: where the kernel takes none, the memory serves all the same.
  madvise(address, size_bytes, MADV_HUGEPAGE);
  madvise(address, size_bytes, MADV_DONTFORK);
  return address;
}

void UnmapPages(void* address, std::size_t size_bytes) { munmap(address, size_bytes); }

}  // namespace uring
