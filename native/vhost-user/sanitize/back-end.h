// A back-end for the harness: a RAM disk behind a unix socket, in a thread of its own, that maps the client's memory by the
// descriptor it is passed, is kicked and interrupts, and breaks whatever rule it is told to.
#pragma once

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "../protocol.h"

namespace harness {

using namespace vhost_user;

// Ends the program with a line that says where.
#define REQUIRE(condition)                                                             \
  do {                                                                                 \
    if (!(condition)) {                                                                \
      fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);    \
      abort();                                                                         \
    }                                                                                  \
  } while (0)

enum class Lie { kNone, kBadHeader, kShortAnswer, kHangUp, kRandomAnswer, kRandomUsed, kDieInMidIo };

struct Behaviour {
  Lie lie = Lie::kNone;
  uint64_t features = kFeatureVersion1 | kFeatureProtocol | kFeatureIndirect | kFeatureEventIndex | kFeatureSegMax |
                      kFeatureSizeMax | kFeatureBlockSize | kFeatureFlush | kFeatureMultiQueue | kFeatureDiscard;
  uint32_t size_max = 8192;
  uint32_t seg_max = 16;
  unsigned seed = 1;
};

constexpr uint64_t kDiskSectors = 4096;

class BackEnd {
 public:
  explicit BackEnd(const std::string& path) : disk_(kDiskSectors * kSectorBytes) {
    unlink(path.c_str());
    listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    REQUIRE(path.size() < sizeof address.sun_path);
    memcpy(address.sun_path, path.c_str(), path.size());
    REQUIRE(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(listen(listener_, 8) == 0);
    thread_ = std::thread([this] { run(); });
  }

  ~BackEnd() {
    stopping_ = true;
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }

  // For the connections from now on; only while there is none.
  void behave(const Behaviour& behaviour) { behaviour_ = behaviour; }
  // Has the next turn of the thread announce another configuration.
  void announce() { announce_ = true; }
  uint64_t sectors() const { return sectors_; }
  void resize(uint64_t sectors) { sectors_ = sectors; }

 private:
  struct Queue {
    uint32_t depth = 0;
    Descriptor* descriptors = nullptr;
    uint16_t* available = nullptr;
    uint16_t* used = nullptr;
    int kick = -1;
    int call = -1;
    uint16_t seen = 0;
  };

  void run() {
    while (!stopping_) {
      pollfd entry = {listener_, POLLIN, 0};
      if (poll(&entry, 1, 100) <= 0) continue;
      const int connection = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (connection < 0) continue;
      serve(connection);
      forget();
      close(connection);
    }
  }

  void serve(int connection) {
    random_.seed(behaviour_.seed);
    served_ = 0;
    while (!stopping_) {
      std::vector<pollfd> entries = {{connection, POLLIN, 0}};
      for (const Queue& queue : queues_) entries.push_back({queue.kick, POLLIN, 0});
      if (poll(entries.data(), entries.size(), 2) < 0 && errno != EINTR) return;
      if (announce_.exchange(false)) tell_change();
      for (size_t index = 0; index < queues_.size(); ++index) {
        if (entries[index + 1].revents == 0) continue;
        uint64_t count;
        if (read(queues_[index].kick, &count, sizeof count) < 0 || !work(queues_[index])) return;
      }
      if (entries[0].revents != 0 && !answer(connection)) return;
    }
  }

  bool answer(int connection) {
    MessageHeader header;
    int passed = -1;
    if (!receive(connection, &header, sizeof header, &passed)) return false;
    uint8_t payload[256];
    REQUIRE(header.size <= sizeof payload);
    if (header.size > 0 && !receive(connection, payload, header.size, &passed)) return false;
    uint8_t reply[128] = {};
    uint32_t size = 0;
    handle(header.request, payload, passed, reply, size);
    const bool asked = (header.flags & kNeedReplyFlag) != 0;
    if (size == 0 && !asked) return true;
    if (size == 0) size = sizeof(uint64_t);
    return send_reply(connection, header.request, reply, size);
  }

  bool send_reply(int connection, uint32_t request, uint8_t* reply, uint32_t size) {
    MessageHeader header = {request, kVersion | kReplyFlag, size};
    const bool now = random_() % 12 == 0;
    if (now && behaviour_.lie == Lie::kHangUp) return false;
    if (now && behaviour_.lie == Lie::kBadHeader) header.flags = static_cast<uint32_t>(random_());
    if (now && behaviour_.lie == Lie::kShortAnswer) size = static_cast<uint32_t>(random_() % (size + 1));
    if (now && behaviour_.lie == Lie::kRandomAnswer) {
      for (uint32_t index = 0; index < size; ++index) reply[index] = static_cast<uint8_t>(random_());
    }
    uint8_t bytes[sizeof header + 128];
    memcpy(bytes, &header, sizeof header);
    memcpy(bytes + sizeof header, reply, size);
    return ::send(connection, bytes, sizeof header + size, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof header + size);
  }

  template <typename Value>
  static Value value(const uint8_t* payload) {
    Value copy;
    memcpy(&copy, payload, sizeof copy);
    return copy;
  }

  void put(uint8_t* reply, uint32_t& size, uint64_t number) {
    memcpy(reply, &number, sizeof number);
    size = sizeof number;
  }

  void handle(uint32_t request, const uint8_t* payload, int passed, uint8_t* reply, uint32_t& size) {
    switch (request) {
      case kGetFeatures: return put(reply, size, behaviour_.features);
      case kSetFeatures: features_ = value<uint64_t>(payload); return;
      case kGetProtocolFeatures: return put(reply, size, 0x22b);
      case kGetQueueNum: return put(reply, size, 2);
      case kGetConfig: return put_config(payload, reply, size);
      case kSetMemTable: return map(value<MemoryTable>(payload), passed);
      case kSetBackEndRequestFd: channel_ = passed; return;
      case kGetVringBase:
        memcpy(reply, payload, sizeof(VringState));
        size = sizeof(VringState);
        return;
      default: return ring_message(request, payload, passed);
    }
  }

  void put_config(const uint8_t* payload, uint8_t* reply, uint32_t& size) {
    BlockConfig config = {};
    config.capacity_sectors = sectors_;
    config.size_max = behaviour_.size_max;
    config.seg_max = behaviour_.seg_max;
    config.blk_size = kSectorBytes;
    config.num_queues = 2;
    config.max_discard_sectors = 64;
    memcpy(reply, payload, sizeof(ConfigHeader));
    memcpy(reply + sizeof(ConfigHeader), &config, sizeof config);
    size = sizeof(ConfigHeader) + sizeof config;
  }

  void map(const MemoryTable& table, int passed) {
    REQUIRE(table.count == 1 && passed >= 0);
    map_bytes_ = table.size;
    user_address_ = table.user_address;
    void* place = mmap(nullptr, map_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, passed, 0);
    REQUIRE(place != MAP_FAILED);
    REQUIRE(ftruncate(passed, 0) != 0);  // Sealed: we could not pull the memory from under the client.
    map_ = static_cast<uint8_t*>(place);
    close(passed);
  }

  void ring_message(uint32_t request, const uint8_t* payload, int passed) {
    const uint32_t index = value<uint32_t>(payload);
    if (request == kSetOwner || request == kSetProtocolFeatures) return;
    if (queues_.size() <= index) queues_.resize(index + 1);
    Queue& queue = queues_[index];
    if (request == kSetVringNum) queue.depth = value<VringState>(payload).value;
    if (request == kSetVringKick) queue.kick = passed;
    if (request == kSetVringCall) queue.call = passed;
    if (request != kSetVringAddr) return;
    const VringAddress address = value<VringAddress>(payload);
    queue.descriptors = at<Descriptor>(address.descriptors);
    queue.available = at<uint16_t>(address.available);
    queue.used = at<uint16_t>(address.used);
  }

  template <typename Thing>
  Thing* at(uint64_t address) {
    REQUIRE(address >= user_address_ && address < user_address_ + map_bytes_);
    return reinterpret_cast<Thing*>(map_ + (address - user_address_));
  }

  // False: dies now.
  bool work(Queue& queue) {
    if (queue.kick < 0 || queue.call < 0) return true;
    const bool event_index = (features_ & kFeatureEventIndex) != 0;
    for (;;) {
      const uint16_t index = __atomic_load_n(&queue.available[1], __ATOMIC_ACQUIRE);
      while (queue.seen != index) {
        const uint16_t head = queue.available[2 + queue.seen % queue.depth];
        ++queue.seen;
        if (behaviour_.lie == Lie::kDieInMidIo && ++served_ % 97 == 0) return false;
        carry_out(queue, head);
        complete(queue, head, event_index);
      }
      if (!event_index) return true;
      uint16_t* available_event = queue.used + 2 + queue.depth * 4;
      __atomic_store_n(available_event, queue.seen, __ATOMIC_RELEASE);
      __atomic_thread_fence(__ATOMIC_SEQ_CST);
      if (__atomic_load_n(&queue.available[1], __ATOMIC_ACQUIRE) == queue.seen) return true;
    }
  }

  void carry_out(Queue& queue, uint16_t head) {
    REQUIRE(head < queue.depth);
    const Descriptor descriptor = queue.descriptors[head];
    REQUIRE(descriptor.flags == kDescriptorIndirect && descriptor.length % sizeof(Descriptor) == 0);
    const Descriptor* table = at<Descriptor>(descriptor.address);
    const uint32_t count = descriptor.length / sizeof(Descriptor);
    REQUIRE(count >= 2 && (count <= behaviour_.seg_max + 2 || behaviour_.lie == Lie::kRandomAnswer));
    BlockHeader header;
    memcpy(&header, at<uint8_t>(table[0].address), sizeof header);
    uint8_t status = kStatusOk;
    uint64_t byte = header.sector * kSectorBytes;
    for (uint32_t index = 1; index + 1 < count && header.type <= kWrite; ++index) {
      const uint32_t length = table[index].length;
      // Unless it was told something else.
      REQUIRE(length <= behaviour_.size_max || behaviour_.lie == Lie::kRandomAnswer);
      uint8_t* bytes = at<uint8_t>(table[index].address);
      if (byte + length > disk_.size()) status = kStatusIoError;
      else if (header.type == kRead) memcpy(bytes, disk_.data() + byte, length);
      else memcpy(disk_.data() + byte, bytes, length);
      byte += length;
    }
    *at<uint8_t>(table[count - 1].address) = status;
  }

  void complete(Queue& queue, uint16_t head, bool event_index) {
    const uint16_t index = queue.used[1];
    UsedElement* elements = reinterpret_cast<UsedElement*>(queue.used + 2);
    const bool lies = behaviour_.lie == Lie::kRandomUsed && random_() % 64 == 0;
    elements[index % queue.depth] = {lies ? static_cast<uint32_t>(random_()) >> random_() % 32 : head, 1};
    const uint16_t step = lies && random_() % 2 == 0 ? static_cast<uint16_t>(random_()) : 1;
    __atomic_store_n(&queue.used[1], static_cast<uint16_t>(index + step), __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    const uint16_t wish = __atomic_load_n(&queue.available[2 + queue.depth], __ATOMIC_ACQUIRE);
    const bool wanted = event_index ? static_cast<uint16_t>(index + step - wish - 1) < step : queue.available[0] == 0;
    const uint64_t one = 1;
    if (wanted) REQUIRE(write(queue.call, &one, sizeof one) == sizeof one);
  }

  void tell_change() {
    if (channel_ < 0) return;
    const MessageHeader header = {kBackEndConfigChange, kVersion | kNeedReplyFlag, 0};
    REQUIRE(::send(channel_, &header, sizeof header, MSG_NOSIGNAL) == sizeof header);
    uint8_t answer[sizeof header + sizeof(uint64_t)];
    REQUIRE(recv(channel_, answer, sizeof answer, MSG_WAITALL) == sizeof answer);
    REQUIRE(value<uint64_t>(answer + sizeof header) == 0);
  }

  static bool receive(int connection, void* bytes, size_t size, int* passed) {
    iovec part = {bytes, size};
    msghdr message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    if (recvmsg(connection, &message, MSG_WAITALL | MSG_CMSG_CLOEXEC) != static_cast<ssize_t>(size)) return false;
    if (cmsghdr* rights = CMSG_FIRSTHDR(&message)) memcpy(passed, CMSG_DATA(rights), sizeof(int));
    return true;
  }

  void forget() {
    for (Queue& queue : queues_) {
      if (queue.kick >= 0) close(queue.kick);
      if (queue.call >= 0) close(queue.call);
    }
    queues_.clear();
    if (map_ != nullptr) munmap(map_, map_bytes_);
    map_ = nullptr;
    if (channel_ >= 0) close(channel_);
    channel_ = -1;
  }

  int listener_;
  std::thread thread_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> announce_{false};
  std::atomic<uint64_t> sectors_{kDiskSectors};
  Behaviour behaviour_;
  std::vector<uint8_t> disk_;
  std::mt19937 random_;
  uint64_t features_ = 0;
  uint64_t served_ = 0;
  uint8_t* map_ = nullptr;
  size_t map_bytes_ = 0;
  uint64_t user_address_ = 0;
  int channel_ = -1;
  std::vector<Queue> queues_;
};

}  // namespace harness
