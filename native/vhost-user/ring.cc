// One split virtqueue: see ring.h.
#include "ring.h"

#include <string.h>
#include <unistd.h>

#include <algorithm>

namespace vhost_user {

namespace {

constexpr size_t kAlignment = 64;

constexpr size_t aligned(size_t size_bytes) { return (size_bytes + kAlignment - 1) / kAlignment * kAlignment; }
constexpr size_t descriptor_bytes(uint32_t depth) { return aligned(sizeof(Descriptor) * depth); }
constexpr size_t available_bytes(uint32_t depth) { return aligned(sizeof(uint16_t) * (3 + depth)); }
constexpr size_t used_bytes(uint32_t depth) {
  return aligned(2 * sizeof(uint16_t) + sizeof(UsedElement) * depth + sizeof(uint16_t));
}

void store(uint16_t* place, uint16_t value) { __atomic_store_n(place, value, __ATOMIC_RELEASE); }
uint16_t load(const uint16_t* place) { return __atomic_load_n(place, __ATOMIC_ACQUIRE); }

// Whether moving an index from `before` to `after` passes `event` (virtio 1.2, 2.7.7.2).
bool passes(uint16_t event, uint16_t after, uint16_t before) {
  return static_cast<uint16_t>(after - event - 1) < static_cast<uint16_t>(after - before);
}

uint64_t address_of(const void* place) { return reinterpret_cast<uint64_t>(place); }

}  // namespace

// Whole cache lines: two slots share none.
struct alignas(kAlignment) Ring::SlotMemory {
  BlockHeader header;
  DiscardRange range;
  uint8_t status;
  Descriptor table[kMaxSegments + 2];
};

size_t Ring::size_bytes(uint32_t depth) {
  return descriptor_bytes(depth) + available_bytes(depth) + used_bytes(depth) + sizeof(SlotMemory) * depth;
}

Ring::Ring(uint8_t* memory, uint32_t depth, int kick_fd) : depth_(depth), kick_fd_(kick_fd), slots_(depth) {
  descriptors_ = reinterpret_cast<Descriptor*>(memory);
  available_ = reinterpret_cast<uint16_t*>(memory + descriptor_bytes(depth));
  used_ = reinterpret_cast<uint16_t*>(memory + descriptor_bytes(depth) + available_bytes(depth));
  uint8_t* slots = memory + descriptor_bytes(depth) + available_bytes(depth) + used_bytes(depth);
  memory_ = reinterpret_cast<SlotMemory*>(slots);
  reset();
}

RingPlace Ring::place() const {
  return {address_of(descriptors_), address_of(available_), address_of(used_), kick_fd_};
}

void Ring::reset() {
  memset(descriptors_, 0, descriptor_bytes(depth_));
  memset(available_, 0, available_bytes(depth_));
  memset(used_, 0, used_bytes(depth_));
  next_available_ = published_ = last_used_ = 0;
  store(&available_[0], kAvailableNoInterrupt);
  store(&available_[2 + depth_], static_cast<uint16_t>(-1));
}

void Ring::abandon() {
  for (SlotRequest& request : slots_) request.in_flight = false;
  in_flight_ = 0;
}

void Ring::resubmit(const Description& description) {
  // With EVENT_IDX the flags must be zero (virtio 1.2, 2.7.7.1).
  if (description.has(kFeatureEventIndex)) store(&available_[0], 0);
  for (uint32_t slot = 0; slot < depth_; ++slot) {
    if (slots_[slot].in_flight && build(slot, description)) enqueue(slot);
  }
  publish(description);
}

bool Ring::build(uint32_t slot, const Description& description) {
  const SlotRequest& request = slots_[slot];
  SlotMemory& memory = memory_[slot];
  memory.header = {request.type, 0, request.sector};
  memory.status = UINT8_MAX;
  uint16_t count = 0;
  const auto add = [&](const void* place, uint32_t length, uint16_t flags) {
    memory.table[count] = {address_of(place), length, static_cast<uint16_t>(flags | kDescriptorNext),
                           static_cast<uint16_t>(count + 1)};
    ++count;
  };
  add(&memory.header, sizeof memory.header, 0);
  if (request.type == kDiscard) {
    memory.header.sector = 0;
    memory.range = {request.sector, request.length / kSectorBytes, 0};
    add(&memory.range, sizeof memory.range, 0);
  } else if (request.type != kFlush) {
    const uint16_t flags = request.type == kRead ? kDescriptorWrite : 0;
    for (uint32_t done = 0; done < request.length;) {
      if (count > description.max_segments) return false;
      const uint32_t length = std::min(request.length - done, description.segment_bytes);
      add(request.bytes + done, length, flags);
      done += length;
    }
  }
  memory.table[count] = {address_of(&memory.status), 1, kDescriptorWrite, 0};
  const uint32_t table_bytes = static_cast<uint32_t>(sizeof(Descriptor)) * (count + 1u);
  descriptors_[slot] = {address_of(memory.table), table_bytes, kDescriptorIndirect, 0};
  return true;
}

void Ring::enqueue(uint32_t slot) {
  available_[2 + next_available_ % depth_] = static_cast<uint16_t>(slot);
  ++next_available_;
}

bool Ring::submit(uint32_t slot, const SlotRequest& request, const Description& description) {
  slots_[slot] = request;
  if (!build(slot, description)) {
    slots_[slot].in_flight = false;
    return false;
  }
  slots_[slot].in_flight = true;
  ++in_flight_;
  enqueue(slot);
  return true;
}

void Ring::publish(const Description& description) {
  if (published_ == next_available_) return;
  const uint16_t before = published_;
  published_ = next_available_;
  store(&available_[1], published_);
  // The index must be visible before the back-end's wish is read, or both sides could wait for each other.
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  const uint16_t* available_event = used_ + 2 + depth_ * sizeof(UsedElement) / sizeof(uint16_t);
  const bool wanted = description.has(kFeatureEventIndex) ? passes(load(available_event), published_, before)
                                                          : (load(&used_[0]) & kUsedNoNotify) == 0;
  if (!wanted) return;
  const uint64_t one = 1;
  // A full counter (EAGAIN) is a kick that nobody took yet, which is as good.
  [[maybe_unused]] const ssize_t written = write(kick_fd_, &one, sizeof one);
}

uint16_t Ring::load_used_index() const { return load(&used_[1]); }

int Ring::collect(uint32_t* completions, uint32_t stride, uint32_t first, const Description& description) {
  const uint16_t used_index = load_used_index();
  const uint16_t count = static_cast<uint16_t>(used_index - last_used_);
  if (count == 0) return 0;
  if (count > in_flight_ || count > depth_) return -1;
  const UsedElement* elements = reinterpret_cast<const UsedElement*>(used_ + 2);
  for (uint16_t index = 0; index < count; ++index) {
    // One load: the back-end could change it between a check and a use.
    const uint32_t slot = __atomic_load_n(&elements[last_used_ % depth_].id, __ATOMIC_RELAXED);
    if (slot >= depth_ || !slots_[slot].in_flight) return -1;
    slots_[slot].in_flight = false;
    --in_flight_;
    ++last_used_;
    completions[2 * index] = slot * stride + first;
    completions[2 * index + 1] = __atomic_load_n(&memory_[slot].status, __ATOMIC_RELAXED);
  }
  disarm(description);
  return count;
}

bool Ring::arm(const Description& description) {
  if (description.has(kFeatureEventIndex)) store(&available_[2 + depth_], last_used_);
  else store(&available_[0], 0);
  // The wish must be visible before the index is read again: a completion between the two would go unnoticed.
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  return load_used_index() == last_used_;
}

void Ring::disarm(const Description& description) {
  // With EVENT_IDX the interrupt is wished for 65535 completions ahead, which is never.
  if (description.has(kFeatureEventIndex)) store(&available_[2 + depth_], static_cast<uint16_t>(last_used_ - 1));
  else store(&available_[0], kAvailableNoInterrupt);
}

}  // namespace vhost_user
