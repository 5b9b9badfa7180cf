// One block of memory that a back-end process can map: a sealed memfd, of huge pages where there are any.
//
// Guarantees: mapped at a 2 MiB boundary, zeroed, of a fixed size (sealed: a peer cannot shrink it under us, which would
// kill this process at the next access). Freed with the last shared_ptr; how it is divided is left to others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace vhost_user {

enum class HugePages : uint32_t { kOff = 0, kPrefer = 1, kRequire = 2 };

class SharedPool {
 public:
  // At least `size_bytes`, rounded up to 2 MiB. Null, with `error` as errno and `failed_call` filled, when it cannot be had.
  static std::shared_ptr<SharedPool> create(size_t size_bytes, HugePages huge_pages, int& error,
                                            std::string& failed_call);
  ~SharedPool();
  SharedPool(const SharedPool&) = delete;
  SharedPool& operator=(const SharedPool&) = delete;

  uint8_t* data() const { return data_; }
  size_t size_bytes() const { return size_bytes_; }
  int fd() const { return fd_; }
  bool huge() const { return huge_; }

 private:
  SharedPool(uint8_t* data, size_t size_bytes, int fd, bool huge)
      : data_(data), size_bytes_(size_bytes), fd_(fd), huge_(huge) {}
  static std::shared_ptr<SharedPool> map(size_t size_bytes, bool huge, int& error, std::string& failed_call);

  uint8_t* const data_;
  const size_t size_bytes_;
  const int fd_;
  const bool huge_;
};

}  // namespace vhost_user
