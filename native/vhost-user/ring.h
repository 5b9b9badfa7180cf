// One split virtqueue of block requests, in memory that the back-end shares.
//
// Each request has a slot: its own descriptor of the ring, indirect table, header and status byte, so nothing is allocated
// when one is placed. Guarantees: nothing that the back-end can write is trusted: a used index that jumps, an id out of
// range, not in flight or seen twice is a violation, after which the ring must not be used. Both kinds of suppression are
// honoured on both sides (flags, EVENT_IDX). Memory, sockets and threads are left to others; for one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "negotiation.h"
#include "protocol.h"

namespace vhost_user {

struct SlotRequest {
  uint32_t type = 0;
  uint32_t length = 0;
  uint64_t sector = 0;
  uint8_t* bytes = nullptr;  // Data in shared memory; unused by flush and discard.
  bool in_flight = false;
};

class Ring {
 public:
  // Shared bytes that a queue of `depth` slots takes (a power of two, at most 1024).
  static size_t size_bytes(uint32_t depth);

  Ring(uint8_t* memory, uint32_t depth, int kick_fd);

  RingPlace place() const;
  uint32_t depth() const { return depth_; }
  uint32_t in_flight() const { return in_flight_; }
  bool is_in_flight(uint32_t slot) const { return slots_[slot].in_flight; }

  // Empties the shared part for a new connection; the requests in flight stay known.
  void reset();
  // Forgets what was in flight.
  void abandon();
  // After a reconnect: places again what was in flight.
  void resubmit(const Description& description);

  // Puts a request into its free slot; false when it does not fit the description's limits. Seen by nobody before `publish`.
  bool submit(uint32_t slot, const SlotRequest& request, const Description& description);
  // Shows what was submitted to the back-end and kicks it unless it asked not to be.
  void publish(const Description& description);

  // Completed requests as pairs {slot * stride + first, status}, at most depth() of them. Returns their count, -1: violation.
  int collect(uint32_t* completions, uint32_t stride, uint32_t first, const Description& description);

  // Asks for an interrupt at the next completion. False when one is there already.
  bool arm(const Description& description);
  void disarm(const Description& description);

 private:
  struct SlotMemory;

  bool build(uint32_t slot, const Description& description);
  void enqueue(uint32_t slot);
  uint16_t load_used_index() const;

  const uint32_t depth_;
  const int kick_fd_;
  Descriptor* descriptors_;
  uint16_t* available_;  // flags, index, ring[depth], used_event
  uint16_t* used_;       // flags, index, UsedElement ring[depth], available_event
  SlotMemory* memory_;
  std::vector<SlotRequest> slots_;
  uint32_t in_flight_ = 0;
  uint16_t next_available_ = 0;
  uint16_t published_ = 0;
  uint16_t last_used_ = 0;
};

}  // namespace vhost_user
