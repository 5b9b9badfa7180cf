// The numbers and layouts of vhost-user (QEMU's docs/interop/vhost-user) and of virtio 1.2 (2.7 split virtqueues, 5.2 block
// device) that a front-end of a block device needs. All fields are little-endian as on the machines this runs on; the
// socket never leaves the machine. Nothing here has behaviour.
#pragma once

#include <cstdint>

namespace vhost_user {

enum Request : uint32_t {
  kGetFeatures = 1,
  kSetFeatures = 2,
  kSetOwner = 3,
  kSetMemTable = 5,
  kSetVringNum = 8,
  kSetVringAddr = 9,
  kSetVringBase = 10,
  kGetVringBase = 11,
  kSetVringKick = 12,
  kSetVringCall = 13,
  kGetProtocolFeatures = 15,
  kSetProtocolFeatures = 16,
  kGetQueueNum = 17,
  kSetVringEnable = 18,
  kSetBackEndRequestFd = 21,
  kGetConfig = 24,
};

// What the back-end may send on the channel of kSetBackEndRequestFd.
constexpr uint32_t kBackEndConfigChange = 2;

constexpr uint32_t kVersion = 1;
constexpr uint32_t kVersionMask = 3;
constexpr uint32_t kReplyFlag = 4;
constexpr uint32_t kNeedReplyFlag = 8;

struct MessageHeader {
  uint32_t request;
  uint32_t flags;
  uint32_t size;
};
static_assert(sizeof(MessageHeader) == 12, "wire layout");

struct VringState {
  uint32_t index;
  uint32_t value;
};

struct VringAddress {
  uint32_t index;
  uint32_t flags;
  uint64_t descriptors;
  uint64_t used;
  uint64_t available;
  uint64_t log;
};
static_assert(sizeof(VringAddress) == 40, "wire layout");

// One region; the general message has room for eight.
struct MemoryTable {
  uint32_t count;
  uint32_t padding;
  uint64_t guest_address;
  uint64_t size;
  uint64_t user_address;
  uint64_t mmap_offset;
};
static_assert(sizeof(MemoryTable) == 40, "wire layout");

struct ConfigHeader {
  uint32_t offset;
  uint32_t size;
  uint32_t flags;
};

// The first 60 bytes of virtio_blk_config.
struct __attribute__((packed)) BlockConfig {
  uint64_t capacity_sectors;
  uint32_t size_max;
  uint32_t seg_max;
  uint16_t cylinders;
  uint8_t heads;
  uint8_t sectors;
  uint32_t blk_size;
  uint8_t physical_block_exponent;
  uint8_t alignment_offset;
  uint16_t min_io_size;
  uint32_t opt_io_size;
  uint8_t writeback;
  uint8_t unused0;
  uint16_t num_queues;
  uint32_t max_discard_sectors;
  uint32_t max_discard_seg;
  uint32_t discard_sector_alignment;
  uint32_t max_write_zeroes_sectors;
  uint32_t max_write_zeroes_seg;
  uint8_t write_zeroes_may_unmap;
  uint8_t unused1[3];
};
static_assert(sizeof(BlockConfig) == 60, "wire layout");

constexpr uint64_t bit(unsigned index) { return uint64_t{1} << index; }

constexpr uint64_t kFeatureSizeMax = bit(1);
constexpr uint64_t kFeatureSegMax = bit(2);
constexpr uint64_t kFeatureReadOnly = bit(5);
constexpr uint64_t kFeatureBlockSize = bit(6);
constexpr uint64_t kFeatureFlush = bit(9);
constexpr uint64_t kFeatureMultiQueue = bit(12);
constexpr uint64_t kFeatureDiscard = bit(13);
constexpr uint64_t kFeatureIndirect = bit(28);
constexpr uint64_t kFeatureEventIndex = bit(29);
constexpr uint64_t kFeatureProtocol = bit(30);
constexpr uint64_t kFeatureVersion1 = bit(32);

constexpr uint64_t kProtocolMultiQueue = bit(0);
constexpr uint64_t kProtocolReplyAck = bit(3);
constexpr uint64_t kProtocolBackEndRequest = bit(5);
constexpr uint64_t kProtocolConfig = bit(9);

constexpr uint32_t kSectorBytes = 512;

enum BlockRequest : uint32_t { kRead = 0, kWrite = 1, kFlush = 4, kDiscard = 11 };

enum BlockStatus : uint8_t { kStatusOk = 0, kStatusIoError = 1, kStatusUnsupported = 2 };

struct BlockHeader {
  uint32_t type;
  uint32_t reserved;
  uint64_t sector;
};
static_assert(sizeof(BlockHeader) == 16, "wire layout");

struct DiscardRange {
  uint64_t sector;
  uint32_t sectors;
  uint32_t flags;
};
static_assert(sizeof(DiscardRange) == 16, "wire layout");

struct Descriptor {
  uint64_t address;
  uint32_t length;
  uint16_t flags;
  uint16_t next;
};
static_assert(sizeof(Descriptor) == 16, "wire layout");

constexpr uint16_t kDescriptorNext = 1;
constexpr uint16_t kDescriptorWrite = 2;
constexpr uint16_t kDescriptorIndirect = 4;

struct UsedElement {
  uint32_t id;
  uint32_t length;
};

constexpr uint16_t kAvailableNoInterrupt = 1;
constexpr uint16_t kUsedNoNotify = 1;

}  // namespace vhost_user
