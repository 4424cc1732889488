// What the items of a stream are taken into.
//
// Sinks run under the consumers' lock, with the GIL: they only copy, and run no Python code.
#pragma once

#include <nanobind/nanobind.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "../codec/object_codec.hpp"
#include "../payload/payload.hpp"
#include "conveyor/queue/stream.hpp"

namespace conveyor::python {

namespace nb = nanobind;

enum class TakeRefusal { none, codec, memory };

// Says whether an item can be taken by a channel with this codec; what cannot stays in the queue.
struct Gate {
  std::uint64_t codec;
  bool bytes_for_pickle = false;  // a pickle is wanted as it is
  TakeRefusal refusal = TakeRefusal::none;

  bool admits(Kind kind, const std::byte* data, std::size_t size) {
    std::uint64_t its = 0;
    if (kind == Kind::custom && size >= sizeof(PayloadHead)) std::memcpy(&its, data, sizeof its);
    if (its != codec) refusal = TakeRefusal::codec;
    return its == codec;
  }
  // The memory for a large bytes object, before it is taken; it runs no Python code.
  bool prepare(Kind kind, std::uint64_t size, nb::object& prepared) {
    if (kind != Kind::bytes && !(kind == Kind::pickle && bytes_for_pickle)) return true;
    prepared = nb::steal(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(size)));
    if (prepared.is_valid()) return true;
    PyErr_Clear();
    refusal = TakeRefusal::memory;
    return false;
  }
};

// One message, on the stack.
struct OneSink {
  Gate gate;
  Kind kind = Kind::pickle;
  std::uint32_t sender = 0;
  std::size_t size = 0;
  std::uint32_t run_count = 0;
  nb::object prepared;
  RunReference references[most_runs];
  std::byte data[inline_limit];

  explicit OneSink(std::uint64_t codec) : gate{codec} {}
  void from(std::uint32_t pid) { sender = pid; }
  bool message(std::uint8_t its_kind, const std::byte* from, std::size_t its_size) {
    kind = static_cast<Kind>(its_kind);
    if (its_size > inline_limit || !gate.admits(kind, from, its_size)) return false;
    size = its_size;
    std::memcpy(data, from, its_size);
    return true;
  }
  bool runs(std::uint8_t its_kind, const RunReference* its_runs, std::uint32_t count, const std::byte* head,
            std::size_t its_size) {
    if (!message(its_kind, head, its_size) || !gate.prepare(kind, its_runs[0].size, prepared)) return false;
    run_count = count;
    std::memcpy(references, its_runs, count * sizeof(RunReference));
    return true;
  }
  Taken taken(bool leased = false) const { return {kind, run_count, references, data, size, leased, sender}; }
};

struct ManySink {
  struct Entry {
    Kind kind;
    std::uint32_t run_count, sender;
    std::size_t first_run, offset, size;
    nb::object prepared;
  };
  Gate gate;
  std::vector<Entry> entries;
  std::vector<RunReference> references;
  Buffer data;

  std::uint32_t sender = 0;  // of the next

  explicit ManySink(std::uint64_t codec) : gate{codec} {}
  void from(std::uint32_t pid) { sender = pid; }
  bool message(std::uint8_t kind, const std::byte* from, std::size_t size) {
    if (!gate.admits(static_cast<Kind>(kind), from, size)) return false;
    entries.push_back({static_cast<Kind>(kind), 0, sender, 0, data.size(), size, {}});
    data.put(from, size);
    return true;
  }
  bool runs(std::uint8_t kind, const RunReference* runs, std::uint32_t count, const std::byte* head, std::size_t size) {
    nb::object prepared;
    if (!gate.prepare(static_cast<Kind>(kind), runs[0].size, prepared) || !message(kind, head, size)) return false;
    Entry& entry = entries.back();
    entry.prepared = std::move(prepared);
    entry.first_run = references.size();
    entry.run_count = count;
    references.insert(references.end(), runs, runs + count);
    return true;
  }
  Taken taken(const Entry& entry, bool leased = false) {
    return {entry.kind, entry.run_count, references.data() + entry.first_run, data.data() + entry.offset, entry.size,
            leased,     entry.sender};
  }
};

// Copies of items that stay in the queue, a portion at a time: what lies in runs as well. It holds no Python object, so
// that it works without the GIL.
struct LookSink {
  struct Entry {
    Kind kind;
    std::uint32_t sender;
    std::size_t size;
    std::unique_ptr<std::byte[]> data;
    std::vector<RunReference> runs;
    std::vector<std::unique_ptr<std::byte[]>> copies;
    std::vector<const std::byte*> places;  // of the copies
  };
  static constexpr std::uint64_t portion = 64 * 1024;

  Gate gate;
  const Stream& stream;
  std::vector<Entry> entries;
  std::uint64_t copied = 0;
  std::uint32_t sender = 0;  // of the next

  LookSink(std::uint64_t codec, const Stream& its_stream) : gate{codec}, stream(its_stream) {}
  void from(std::uint32_t pid) { sender = pid; }
  bool message(std::uint8_t kind, const std::byte* data, std::size_t size) {
    return runs(kind, nullptr, 0, data, size);
  }
  bool runs(std::uint8_t its_kind, const RunReference* its_runs, std::uint32_t count, const std::byte* head,
            std::size_t size) {
    const auto kind = static_cast<Kind>(its_kind);
    if (copied >= portion || !gate.admits(kind, head, size)) return false;
    // Others wait for the lock: an exception must not leave it locked.
    try {
      Entry entry{kind, sender, size, copy(head, size), {}, {}, {}};
      for (std::uint32_t i = 0; i < count; ++i) {
        entry.runs.push_back(its_runs[i]);
        entry.copies.push_back(copy(stream.run_data(its_runs[i]), its_runs[i].size));
        entry.places.push_back(entry.copies.back().get());
      }
      entries.push_back(std::move(entry));
    } catch (const std::bad_alloc&) {
      gate.refusal = TakeRefusal::memory;
      return false;
    }
    return true;
  }
  static Taken taken(const Entry& entry) {
    return {entry.kind,
            static_cast<std::uint32_t>(entry.runs.size()),
            entry.runs.data(),
            entry.data.get(),
            entry.size,
            true,
            entry.sender,
            entry.places.data(),
            true};
  }

 private:
  std::unique_ptr<std::byte[]> copy(const std::byte* from, std::uint64_t size) {
    std::unique_ptr<std::byte[]> data(new std::byte[size]);
    if (size != 0) std::memcpy(data.get(), from, size);
    copied += size;
    return data;
  }
};

}  // namespace conveyor::python
