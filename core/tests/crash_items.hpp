// What passes through the crash lab: items of many sizes that tell who put them and whether they are whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "conveyor/queue/stream.hpp"
#include "crash_lab.hpp"

namespace crash {

using namespace conveyor;

struct Item {
  std::uint32_t producer, number, size, sum;
};

// Sizes that pass through every path: tiny, several to a page, over a page's end, and runs.
inline std::uint32_t size_of(std::uint32_t number) {
  if (number % 11 == 3) return 150'000;
  if (number % 7 == 5) return 9'000;
  return static_cast<std::uint32_t>(sizeof(Item)) + number % 50;
}

inline std::byte filler(std::uint32_t producer, std::uint32_t number) {
  return static_cast<std::byte>(producer * 31 + number * 7 + 1);
}

inline void fill(std::byte* at, std::uint32_t producer, std::uint32_t number) {
  const std::uint32_t size = size_of(number);
  const Item item{producer, number, size, producer ^ number ^ size ^ 0x5eed};
  std::memcpy(at, &item, sizeof item);
  std::memset(at + sizeof item, static_cast<int>(filler(producer, number)), size - sizeof item);
}

inline bool intact(const std::byte* at, std::size_t size, Item& item) {
  if (size < sizeof item) return false;
  std::memcpy(&item, at, sizeof item);
  if (item.producer >= max_producers || item.number >= items_each || item.size != size) return false;
  if (item.sum != (item.producer ^ item.number ^ item.size ^ 0x5eed)) return false;
  for (std::size_t i = sizeof item; i < size; i += 97) {
    if (at[i] != filler(item.producer, item.number)) return false;
  }
  return true;
}

struct Sink {
  std::vector<std::byte> data;
  std::vector<RunReference> taken;
  bool message(std::uint8_t, const std::byte* from, std::size_t size) {
    data.assign(from, from + size);
    return true;
  }
  bool runs(std::uint8_t, const RunReference* runs, std::uint32_t count, const std::byte* head, std::size_t size) {
    taken.assign(runs, runs + count);
    return message(0, head, size);
  }
};

// An item as it is put: small ones from memory of our own; large ones in a run, or in two and a head,
// or in a run that the producer goes on looking at until its next item.
class Parcel {
 public:
  Parcel(Stream& stream, std::uint32_t producer, std::uint32_t number) : stream_(stream), data_(size_of(number)) {
    fill(data_.data(), producer, number);
    item.data = data_.data();
    item.size = data_.size();
    if (item.size <= inline_limit) return;
    std::size_t head = 0, first = item.size;
    if (number % 3 == 1) {
      head = 40;
      first = 70'000;
    }
    fine = add(head, first) && (head == 0 || add(head + first, item.size - head - first));
    item.size = head;
    item.runs = runs_;
    lends_ = fine && number % 3 == 2;
    if (lends_) stream_.begin_lending(runs_[0]);
  }
  Parcel(const Parcel&) = delete;
  ~Parcel() {
    if (lends_) stream_.end_lending(runs_[0]);
  }

  Outgoing item;
  bool fine = true;

 private:
  bool add(std::size_t from, std::size_t size) {
    RunReference& run = runs_[item.run_count];
    if (stream_.allocate_run(size, run).first == no_page) return false;
    std::memcpy(stream_.run_data(run), data_.data() + from, size);
    ++item.run_count;
    return true;
  }

  Stream& stream_;
  std::vector<std::byte> data_;
  RunReference runs_[2];
  bool lends_ = false;
};

inline bool intact(Stream& stream, const Sink& sink, Item& item) {
  std::vector<std::byte> all = sink.data;
  for (const RunReference& run : sink.taken)
    all.insert(all.end(), stream.run_data(run), stream.run_data(run) + run.size);
  return intact(all.data(), all.size(), item);
}

}  // namespace crash
