// The memory shared with a back-end: see shared-pool.h.
#include "shared-pool.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace vhost_user {

namespace {

constexpr size_t kHugePageBytes = size_t{2} << 20;
constexpr unsigned kHuge2MiB = 21u << 26;  // MFD_HUGE_2MB, which older C libraries do not name.

// An address range of our own at a 2 MiB boundary, with nothing mapped in it; null when there is none.
uint8_t* reserve(size_t size_bytes) {
  const size_t reserved_bytes = size_bytes + kHugePageBytes;
  void* place = mmap(nullptr, reserved_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (place == MAP_FAILED) return nullptr;
  uint8_t* start = static_cast<uint8_t*>(place);
  const size_t ahead = (kHugePageBytes - reinterpret_cast<uintptr_t>(start) % kHugePageBytes) % kHugePageBytes;
  if (ahead > 0) munmap(start, ahead);
  if (ahead < kHugePageBytes) munmap(start + ahead + size_bytes, kHugePageBytes - ahead);
  return start + ahead;
}

}  // namespace

std::shared_ptr<SharedPool> SharedPool::map(size_t size_bytes, bool huge, int& error, std::string& failed_call) {
  const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING | (huge ? MFD_HUGETLB | kHuge2MiB : 0);
  const int fd = memfd_create("daos-io-pool", flags);
  const auto give_up = [&](const char* call) -> std::shared_ptr<SharedPool> {
    error = errno;
    failed_call = call;
    if (fd >= 0) close(fd);
    return nullptr;
  };
  if (fd < 0) return give_up("memfd_create");
  if (ftruncate(fd, static_cast<off_t>(size_bytes)) != 0) return give_up("ftruncate");
  if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) return give_up("fcntl(F_ADD_SEALS)");
  uint8_t* place = reserve(size_bytes);
  if (place == nullptr) return give_up("mmap");
  if (mmap(place, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
    const int map_error = errno;
    munmap(place, size_bytes);
    errno = map_error;
    return give_up("mmap");
  }
  return std::shared_ptr<SharedPool>(new SharedPool(place, size_bytes, fd, huge));
}

std::shared_ptr<SharedPool> SharedPool::create(size_t size_bytes, HugePages huge_pages, int& error,
                                               std::string& failed_call) {
  const size_t rounded = (size_bytes + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes;
  if (huge_pages != HugePages::kOff) {
    std::shared_ptr<SharedPool> pool = map(rounded, true, error, failed_call);
    if (pool != nullptr || huge_pages == HugePages::kRequire) return pool;
  }
  return map(rounded, false, error, failed_call);
}

SharedPool::~SharedPool() {
  munmap(data_, size_bytes_);
  close(fd_);
}

}  // namespace vhost_user
