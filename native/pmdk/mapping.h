// One mapping of persistent memory: a range of a file or of a devdax device, locked for this owner, with the library's
// own way of making its bytes durable. Unmapped by `close`, or at the latest by the destructor. Not for use by several
// threads at once; who owns it, and that nobody touches the bytes after it is closed, is left to the caller.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "library.h"

namespace pmdk {

struct MappingOptions {
  std::string path;
  // Both multiples of the source's alignment.
  size_t offset;
  size_t length;
  // Pretend that the medium has this granularity instead of asking: for trying out. Nothing is durable if it is wrong.
  std::optional<pmem2_granularity> forced;
};

class Mapping {
 public:
  // Opens, locks the range and maps it. Throws Failure: BUSY when another mapping has part of the range.
  explicit Mapping(const MappingOptions &options);
  ~Mapping();
  Mapping(const Mapping &) = delete;
  Mapping &operator=(const Mapping &) = delete;

  uint8_t *address() const { return address_; }
  size_t length() const { return length_; }
  pmem2_granularity granularity() const { return granularity_; }
  bool contains(double offset, double length) const {
    return offset >= 0 && length > 0 && offset + length <= static_cast<double>(length_);
  }

  // Durable on return. Not for page granularity: there the library ends the process when the medium fails.
  void persist(size_t offset, size_t length) const { persist_(address_ + offset, length); }
  // Fills with zeros, durable on return. Not for page granularity.
  void zero(size_t offset, size_t length) const;
  // Reaches the medium itself, past the buffers that power-fail protection covers. Throws Failure.
  void deep_flush(size_t offset, size_t length) const;

  // Harmless when repeated.
  void close();

 private:
  void open_locked(const MappingOptions &options);
  void map(const MappingOptions &options);
  void require_range(const MappingOptions &options, pmem2_source *source) const;
  void map_by_library(const MappingOptions &options, pmem2_source *source);
  void map_here(const MappingOptions &options, pmem2_source *source, pmem2_granularity granularity);

  const Library &library_;
  int descriptor_ = -1;
  pmem2_map *map_ = nullptr;
  uint8_t *address_ = nullptr;
  size_t length_ = 0;
  // Mapped by mmap here, not by the library.
  bool mapped_here_ = false;
  // Its granularity is not the medium's.
  bool pretended_ = false;
  pmem2_granularity granularity_ = PMEM2_GRANULARITY_PAGE;
  pmem2_persist_fn persist_ = nullptr;
};

}  // namespace pmdk
