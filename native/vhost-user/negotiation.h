// The handshake with a vhost-user-blk back-end, the reading of its configuration, and the polite end.
//
// Guarantees: what the back-end says about itself is checked before anything relies on it: features that are needed, block
// size, capacity, segment limits, number of queues. Sharing memory and rings comes last, when all that is in order.
// Time limits and cancellation are the Channel's.
#pragma once

#include <cstdint>
#include <vector>

#include "channel.h"
#include "shared-pool.h"

namespace vhost_user {

// Data segments that one request may have, whatever the back-end allows.
constexpr uint32_t kMaxSegments = 32;
// Sizes beyond this are not believed: byte offsets must stay exact in a double, which is how they arrive here.
constexpr uint64_t kMaxCapacitySectors = (uint64_t{1} << 53) / 512;

// What a checked back-end offers.
struct Description {
  uint64_t features = 0;  // Those that were agreed on.
  uint64_t protocol_features = 0;
  uint64_t capacity_bytes = 0;
  uint32_t block_bytes = 512;
  uint32_t segment_bytes = 0;  // Most bytes of one segment, whole blocks.
  uint32_t max_segments = 1;   // Most segments of one request.
  uint32_t max_discard_sectors = 0;
  uint32_t queues = 1;

  bool has(uint64_t feature) const { return (features & feature) != 0; }
};

// Where one queue lies, for the back-end.
struct RingPlace {
  uint64_t descriptors;
  uint64_t available;
  uint64_t used;
  int kick_fd;
};

struct Proposal {
  const SharedPool& pool;
  const std::vector<RingPlace>& rings;  // As many as are wanted; fewer are used when fewer are offered.
  uint32_t depth;
  int call_fd;
  int back_end_channel_fd;  // Where the back-end announces changes of its configuration.
};

// The whole handshake. Afterwards the back-end serves `description.queues` rings.
bool negotiate(Channel& channel, const Proposal& proposal, Description& description, Failure& failure);

// Reads the configuration again: capacity and limits of `description`.
bool read_config(Channel& channel, Description& description, Failure& failure);

// Takes the rings back; returns when the back-end has nothing in flight.
bool stop_rings(Channel& channel, const Description& description, Failure& failure);

}  // namespace vhost_user
