// The handshake: see negotiation.h.
#include "negotiation.h"

#include <algorithm>
#include <string>

#include "protocol.h"

namespace vhost_user {

namespace {

constexpr uint64_t kNeededFeatures = kFeatureVersion1 | kFeatureProtocol | kFeatureIndirect;
constexpr uint64_t kWantedFeatures = kNeededFeatures | kFeatureEventIndex | kFeatureSizeMax | kFeatureSegMax |
                                     kFeatureReadOnly | kFeatureBlockSize | kFeatureFlush | kFeatureMultiQueue |
                                     kFeatureDiscard;
constexpr uint64_t kWantedProtocol = kProtocolMultiQueue | kProtocolReplyAck | kProtocolBackEndRequest | kProtocolConfig;
// virtio has 16 bit queue numbers.
constexpr uint64_t kMostQueues = 65535;

std::string hex(uint64_t value) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  do {
    text.insert(text.begin(), kDigits[value % 16]);
    value /= 16;
  } while (value > 0);
  return "0x" + text;
}

bool acknowledges(const Description& description) { return (description.protocol_features & kProtocolReplyAck) != 0; }

bool agree_on_features(Channel& channel, Description& description, Failure& failure) {
  uint64_t offered = 0;
  if (!channel.ask_u64(kGetFeatures, offered, failure)) return false;
  if ((offered & kNeededFeatures) != kNeededFeatures) {
    return fail(failure, FailureKind::kUnsupported,
                "it offers features " + hex(offered) + " and lacks " + hex(kNeededFeatures & ~offered) +
                    " (virtio 1, protocol features, indirect descriptors)");
  }
  description.features = offered & kWantedFeatures;
  uint64_t protocol = 0;
  if (!channel.ask_u64(kGetProtocolFeatures, protocol, failure)) return false;
  if ((protocol & kProtocolConfig) == 0) {
    return fail(failure, FailureKind::kUnsupported,
                "it offers protocol features " + hex(protocol) + " without the reading of its configuration");
  }
  description.protocol_features = protocol & kWantedProtocol;
  const uint64_t accepted = description.protocol_features;
  if (!channel.command(kSetProtocolFeatures, &accepted, sizeof accepted, -1, false, failure)) return false;
  return channel.command(kSetOwner, nullptr, 0, -1, acknowledges(description), failure);
}

bool agree_on_queues(Channel& channel, uint32_t wanted, Description& description, Failure& failure) {
  description.queues = 1;
  if ((description.protocol_features & kProtocolMultiQueue) == 0) return true;
  uint64_t offered = 0;
  if (!channel.ask_u64(kGetQueueNum, offered, failure)) return false;
  if (offered == 0 || offered > kMostQueues) {
    return fail(failure, FailureKind::kProtocol, "it offers " + std::to_string(offered) + " queues");
  }
  description.queues = static_cast<uint32_t>(std::min<uint64_t>(wanted, offered));
  return true;
}

bool check_config(const BlockConfig& config, Description& description, Failure& failure) {
  const uint32_t block_bytes = description.has(kFeatureBlockSize) ? config.blk_size : kSectorBytes;
  if (block_bytes != 512 && block_bytes != 4096) {
    return fail(failure, FailureKind::kUnsupported, "its blocks have " + std::to_string(block_bytes) + " bytes");
  }
  if (config.capacity_sectors > kMaxCapacitySectors) {
    return fail(failure, FailureKind::kProtocol,
                "it claims " + std::to_string(config.capacity_sectors) + " sectors, which no device has");
  }
  const uint32_t segments = description.has(kFeatureSegMax) ? config.seg_max : 1;
  const uint32_t size_max = description.has(kFeatureSizeMax) ? config.size_max : 0;
  if (segments == 0) return fail(failure, FailureKind::kProtocol, "it takes no data segment at all");
  if (size_max != 0 && size_max < block_bytes) {
    return fail(failure, FailureKind::kUnsupported,
                "its segments have at most " + std::to_string(size_max) + " bytes, less than a block");
  }
  if (description.has(kFeatureMultiQueue) && config.num_queues == 0) {
    return fail(failure, FailureKind::kProtocol, "its configuration says it has no queue");
  }
  description.capacity_bytes = config.capacity_sectors * kSectorBytes / block_bytes * block_bytes;
  description.block_bytes = block_bytes;
  description.segment_bytes = (size_max == 0 ? UINT32_MAX : size_max) / 4096 * 4096;
  if (description.segment_bytes == 0) description.segment_bytes = size_max / block_bytes * block_bytes;
  description.max_segments = std::min(segments, kMaxSegments);
  description.max_discard_sectors = description.has(kFeatureDiscard) ? config.max_discard_sectors : 0;
  if (description.has(kFeatureMultiQueue)) {
    description.queues = std::min<uint32_t>(description.queues, config.num_queues);
  }
  return true;
}

bool share_memory(Channel& channel, const SharedPool& pool, bool acknowledged, Failure& failure) {
  const uint64_t address = reinterpret_cast<uint64_t>(pool.data());
  const MemoryTable table = {1, 0, address, pool.size_bytes(), address, 0};
  return channel.command(kSetMemTable, &table, sizeof table, pool.fd(), acknowledged, failure);
}

bool share_ring(Channel& channel, const Proposal& proposal, uint32_t index, bool acknowledged, Failure& failure) {
  const RingPlace& ring = proposal.rings[index];
  const VringState size = {index, proposal.depth};
  const VringState base = {index, 0};
  const VringState enable = {index, 1};
  const VringAddress address = {index, 0, ring.descriptors, ring.used, ring.available, 0};
  const uint64_t number = index;
  return channel.command(kSetVringNum, &size, sizeof size, -1, acknowledged, failure) &&
         channel.command(kSetVringBase, &base, sizeof base, -1, acknowledged, failure) &&
         channel.command(kSetVringAddr, &address, sizeof address, -1, acknowledged, failure) &&
         channel.command(kSetVringCall, &number, sizeof number, proposal.call_fd, acknowledged, failure) &&
         channel.command(kSetVringKick, &number, sizeof number, ring.kick_fd, acknowledged, failure) &&
         channel.command(kSetVringEnable, &enable, sizeof enable, -1, acknowledged, failure);
}

}  // namespace

bool read_config(Channel& channel, Description& description, Failure& failure) {
  struct __attribute__((packed)) {
    ConfigHeader header;
    BlockConfig config;
  } question = {{0, sizeof(BlockConfig), 0}, {}}, answer = {};
  if (!channel.ask(kGetConfig, &question, sizeof question, &answer, sizeof answer, failure)) return false;
  if (answer.header.offset != 0 || answer.header.size != sizeof(BlockConfig)) {
    return fail(failure, FailureKind::kProtocol, "it answered with another part of its configuration");
  }
  return check_config(answer.config, description, failure);
}

bool negotiate(Channel& channel, const Proposal& proposal, Description& description, Failure& failure) {
  description = Description();
  if (!agree_on_features(channel, description, failure)) return false;
  const uint32_t wanted = static_cast<uint32_t>(proposal.rings.size());
  if (!agree_on_queues(channel, wanted, description, failure)) return false;
  const bool acknowledged = acknowledges(description);
  const uint64_t features = description.features;
  if (!channel.command(kSetFeatures, &features, sizeof features, -1, acknowledged, failure)) return false;
  if (!read_config(channel, description, failure)) return false;
  if ((description.protocol_features & kProtocolBackEndRequest) != 0 &&
      !channel.command(kSetBackEndRequestFd, nullptr, 0, proposal.back_end_channel_fd, acknowledged, failure)) {
    return false;
  }
  if (!share_memory(channel, proposal.pool, acknowledged, failure)) return false;
  for (uint32_t index = 0; index < description.queues; ++index) {
    if (!share_ring(channel, proposal, index, acknowledged, failure)) return false;
  }
  // The answer to a last question shows that everything before it was taken, also without acknowledgements.
  Description again = description;
  if (!read_config(channel, again, failure)) return false;
  description.capacity_bytes = again.capacity_bytes;
  return true;
}

bool stop_rings(Channel& channel, const Description& description, Failure& failure) {
  for (uint32_t index = 0; index < description.queues; ++index) {
    const VringState question = {index, 0};
    VringState answer = {};
    if (!channel.ask(kGetVringBase, &question, sizeof question, &answer, sizeof answer, failure)) return false;
    if (answer.index != index) return fail(failure, FailureKind::kProtocol, "it stopped another queue than asked");
  }
  return true;
}

}  // namespace vhost_user
