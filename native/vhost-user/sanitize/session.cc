// Drives a Session against the harness's back-end for as many seconds as the argument says: verified random I/O with either
// kind of suppression, always through interrupts; deaths in mid I/O with resubmission; lies in the handshake and the rings;
// announced resizing; destruction at any moment. Ends with a status other than 0, or a sanitizer's report, when any of it
// goes wrong.
#include <condition_variable>
#include <mutex>

#include "../session.h"
#include "back-end.h"

namespace {

using namespace vhost_user;
using harness::BackEnd;
using harness::Behaviour;
using harness::Lie;

constexpr uint32_t kQueues = 2;
constexpr uint32_t kDepth = 32;
constexpr uint32_t kSlots = kQueues * kDepth;
constexpr uint32_t kSlotBytes = 32 * 1024;
constexpr uint32_t kSlotSectors = kSlotBytes / kSectorBytes;
// A liar's silence is waited for this long.
constexpr uint32_t kLiarTimeoutMs = 100;
constexpr auto kPatience = std::chrono::seconds(20);

// A client: what plugins/block-device/spdk/connection.ts is, without polling.
class Client {
 public:
  explicit Client(const std::string& path, uint32_t timeout_ms = 20000) {
    int error = 0;
    std::string call;
    const size_t front = Session::ring_bytes(kQueues, kDepth);
    pool_ = SharedPool::create(front + kSlots * kSlotBytes, HugePages::kOff, error, call);
    REQUIRE(pool_ != nullptr);
    data_ = pool_->data() + front;
    session_ = std::make_unique<Session>(pool_, Settings{path, kQueues, kDepth, timeout_ms}, [this] {
      const std::lock_guard<std::mutex> lock(mutex_);
      told_ = true;
      condition_.notify_one();
    });
    REQUIRE(session_->start(error));
  }

  Session& session() { return *session_; }
  uint8_t* slot(uint32_t index) { return data_ + index * kSlotBytes; }

  // The next events; 0 when there are none in time.
  uint32_t wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!condition_.wait_for(lock, kPatience, [this] { return told_; })) return 0;
    told_ = false;
    lock.unlock();
    return session_->take_events();
  }

  bool connect() {
    session_->connect();
    uint32_t events;
    while (((events = wait()) & (kConnected | kConnectFailed)) == 0) REQUIRE(events != 0);
    if ((events & kConnected) == 0) return false;
    session_->resume();
    return true;
  }

  void command(uint32_t slot_index, uint32_t type, uint64_t sector, uint32_t length) {
    double* at = commands_ + count_++ * kCommandDoubles;
    at[kSlot] = slot_index;
    at[kType] = type;
    at[kSector] = static_cast<double>(sector);
    at[kOffset] = static_cast<double>(slot(slot_index) - pool_->data());
    at[kLength] = length;
  }

  int exchange(uint32_t* completions) {
    const int collected = session_->exchange(commands_, count_, spins_++ % 4 == 0 ? 2000 : 0, completions);
    count_ = 0;
    return collected;
  }

 private:
  std::shared_ptr<SharedPool> pool_;
  uint8_t* data_;
  std::mutex mutex_;
  std::condition_variable condition_;
  bool told_ = false;
  double commands_[kSlots * kCommandDoubles];
  uint32_t count_ = 0;
  uint32_t spins_ = 0;
  std::unique_ptr<Session> session_;  // Last: its thread ends before what it calls goes.
};

uint8_t content(uint64_t sector, uint32_t version) { return static_cast<uint8_t>(sector * 7 + version * 13 + 1); }

void fill(uint8_t* bytes, uint64_t sector, uint32_t length, uint32_t version) {
  for (uint32_t at = 0; at < length; ++at) bytes[at] = content(sector + at / kSectorBytes, version);
}

void verify(const uint8_t* bytes, uint64_t sector, uint32_t length, uint32_t version) {
  for (uint32_t at = 0; at < length; ++at) REQUIRE(bytes[at] == content(sector + at / kSectorBytes, version));
}

// Each slot has sectors of its own and writes and reads them in turn. Reconnects when the connection is lost.
void verified_io(Client& client, std::mt19937& random, uint32_t rounds, bool may_die) {
  struct State {
    uint32_t version = 0;
    uint32_t length = 0;
    uint32_t type = kFlush;
    bool busy = false;
  } states[kSlots];
  uint32_t completions[2 * kSlots];
  uint32_t left = rounds * kSlots, in_flight = 0;
  while (left > 0 || in_flight > 0) {
    for (uint32_t index = 0; index < kSlots && left > 0; ++index) {
      State& state = states[index];
      if (state.busy) continue;
      const uint64_t sector = uint64_t{index} * kSlotSectors;
      const bool reads = state.length > 0 && random() % 2 == 0;
      if (reads) {
        memset(client.slot(index), 0, kSlotBytes);
        state.type = kRead;
      } else {
        const uint32_t choice = random() % 16;
        state.type = choice == 0 ? kFlush : kWrite;
        if (state.type == kWrite) {
          state.version = random();
          state.length = (1 + random() % kSlotSectors) * kSectorBytes;
          fill(client.slot(index), sector, state.length, state.version);
        }
      }
      client.command(index, state.type, sector, state.type == kFlush ? 0 : state.length);
      state.busy = true;
      ++in_flight;
      --left;
    }
    int collected = client.exchange(completions);
    REQUIRE(collected >= 0);
    // Lets the back-end get between the two now and then.
    if (collected == 0 && random() % 2 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 100));
    if (collected == 0 && client.session().arm()) {
      const uint32_t events = client.wait();
      REQUIRE(events != 0);
      if ((events & kLost) != 0) {
        REQUIRE(may_die);
        collected = client.exchange(completions);
        REQUIRE(collected >= 0);
        while (!client.connect()) {
        }
      }
    }
    for (int pair = 0; pair < collected; ++pair) {
      const uint32_t index = completions[2 * pair];
      State& state = states[index];
      REQUIRE(index < kSlots && state.busy && completions[2 * pair + 1] == kStatusOk);
      if (state.type == kRead) verify(client.slot(index), uint64_t{index} * kSlotSectors, state.length, state.version);
      state.busy = false;
      --in_flight;
    }
  }
}

void good_life(BackEnd& back_end, const std::string& path, std::mt19937& random) {
  Behaviour behaviour;
  if (random() % 2 == 0) behaviour.features &= ~kFeatureEventIndex;
  back_end.behave(behaviour);
  Client client(path);
  REQUIRE(client.connect());
  verified_io(client, random, 30, false);
  back_end.resize(harness::kDiskSectors / 2);
  back_end.announce();
  uint32_t events;
  while (((events = client.wait()) & kConfigChanged) == 0) REQUIRE(events != 0);
  client.session().refresh();
  while (((events = client.wait()) & kConfigRead) == 0) REQUIRE(events != 0);
  REQUIRE(client.session().description().capacity_bytes == harness::kDiskSectors / 2 * kSectorBytes);
  back_end.resize(harness::kDiskSectors);
  client.session().disconnect();
  while (((events = client.wait()) & kDisconnected) == 0) REQUIRE(events != 0);
}

void deaths(BackEnd& back_end, const std::string& path, std::mt19937& random) {
  Behaviour behaviour;
  behaviour.lie = Lie::kDieInMidIo;
  if (random() % 2 == 0) behaviour.features &= ~kFeatureEventIndex;
  back_end.behave(behaviour);
  Client client(path);
  REQUIRE(client.connect());
  verified_io(client, random, 20, true);
}

// Nothing is known about the outcome but that it comes, and that nothing breaks.
void lies(BackEnd& back_end, const std::string& path, std::mt19937& random, Lie lie) {
  Behaviour behaviour;
  behaviour.lie = lie;
  behaviour.seed = random();
  back_end.behave(behaviour);
  Client client(path, kLiarTimeoutMs);
  if (!client.connect()) return;
  uint32_t completions[2 * kSlots];
  for (uint32_t round = 0; round < 20; ++round) {
    bool busy[kSlots] = {};
    for (uint32_t index = 0; index < kSlots; ++index) {
      client.command(index, kRead, uint64_t{index} * kSlotSectors, kSlotBytes);
      busy[index] = true;
    }
    for (uint32_t done = 0; done < kSlots;) {
      const int collected = client.exchange(completions);
      if (collected < 0) return;
      for (int pair = 0; pair < collected; ++pair) {
        REQUIRE(completions[2 * pair] < kSlots && busy[completions[2 * pair]]);
        busy[completions[2 * pair]] = false;
      }
      done += static_cast<uint32_t>(collected);
      // A lie that keeps an index back is a request that never ends: nothing to wait for.
      if (collected == 0 && client.session().arm() && random() % 50 == 0) return;
    }
  }
}

// Destroyed while connecting, while working, while saying goodbye.
void sudden_ends(BackEnd& back_end, const std::string& path, std::mt19937& random) {
  back_end.behave(Behaviour());
  Client client(path);
  client.session().connect();
  if (random() % 2 == 0) return;
  uint32_t events;
  while (((events = client.wait()) & kConnected) == 0) REQUIRE(events != 0);
  client.session().resume();
  for (uint32_t index = 0; index < kSlots; ++index) client.command(index, kRead, 0, kSlotBytes);
  uint32_t completions[2 * kSlots];
  client.exchange(completions);
  if (random() % 2 == 0) client.session().disconnect();
}

}  // namespace

int main(int count, char** arguments) {
  const int seconds = count > 1 ? atoi(arguments[1]) : 5;
  const char* temporary = getenv("TMPDIR");
  std::string folder = std::string(temporary == nullptr ? P_tmpdir : temporary) + "/vhost-user-XXXXXX";
  REQUIRE(mkdtemp(folder.data()) != nullptr);
  const std::string path = folder + "/socket";
  std::mt19937 random(12345);
  uint32_t rounds = 0;
  {
    // One back-end a life: what it does changes only while it has no client.
    const int64_t end_ms = now_ms() + int64_t{seconds} * 1000;
    for (; rounds == 0 || now_ms() < end_ms; ++rounds) {
      { BackEnd back_end(path); good_life(back_end, path, random); }
      { BackEnd back_end(path); deaths(back_end, path, random); }
      for (const Lie lie : {Lie::kRandomUsed, Lie::kRandomUsed, Lie::kRandomUsed, Lie::kRandomUsed}) {
        BackEnd back_end(path);
        lies(back_end, path, random, lie);
      }
      for (const Lie lie : {Lie::kBadHeader, Lie::kShortAnswer, Lie::kHangUp, Lie::kRandomAnswer}) {
        BackEnd back_end(path);
        lies(back_end, path, random, lie);
      }
      { BackEnd back_end(path); sudden_ends(back_end, path, random); }
    }
  }
  unlink(path.c_str());
  rmdir(folder.c_str());
  printf("%u rounds\n", rounds);
  return 0;
}
