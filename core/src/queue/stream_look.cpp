// Looking at a stream without changing it: what it did, and whether it is sound.
#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "conveyor/queue/stream.hpp"

namespace conveyor {

StreamStatistics Stream::statistics() {
  const Segment::Attached attached = segment_->count_attached();
  sweep_if_wanted();
  StreamStatistics s{};
  s.items_out = count_of(header_.head.word.load(acquire));
  s.bytes_out = header_.head.bytes.load(acquire);
  s.items_in = count_of(header_.tail.word.load(acquire));
  s.bytes_in = header_.tail.bytes.load(acquire);
  const std::uint64_t depth_now = s.items_in > s.items_out ? s.items_in - s.items_out : 0;
  s.peak_depth = std::max({header_.producers.peak.load(relaxed), header_.consumers.peak.load(relaxed),
                           depth_now});  // relaxed from here: statistics
  s.put_waits = header_.producers.waits.load(relaxed);
  s.get_waits = header_.consumers.waits.load(relaxed);
  s.put_blocked_nanoseconds = header_.producers.blocked_nanoseconds.load(relaxed);
  s.get_blocked_nanoseconds = header_.consumers.blocked_nanoseconds.load(relaxed);
  s.memory_held = segment_->memory_held();
  s.memory_lent = pool_.lent_bytes();
  look_after_leases();
  s.depth = depth();
  for (std::uint32_t index = 0; index < table_.high(); ++index) {
    const LeaseStage stage = table_.word(index).stage;
    s.leased += stage == LeaseStage::leased ? 1 : 0;
    s.returned += stage == LeaseStage::returned || stage == LeaseStage::delayed ? 1 : 0;
    s.dead += stage == LeaseStage::failed || stage == LeaseStage::moving || stage == LeaseStage::buried ? 1 : 0;
  }
  s.redelivered = header_.leases.given_back.load(relaxed);
  s.producers = attached.putting;
  s.consumers = attached.getting;
  return s;
}

std::optional<std::string> Stream::check(Nanoseconds patience) {
  LockPatience patient(patience, patience);
  std::string trouble;
  if (!lock_both(patient)) return {};
  if (header_.sweep_wanted.load(relaxed) != 0) {
    unlock_both();
    sweep();
    if (!lock_both(patient)) return {};
  }
  const std::uint64_t head = header_.head.word.load(relaxed);
  const std::uint64_t tail = header_.tail.word.load(acquire);
  SideState state = snapshot(header_.consumers.state[head & 1]);
  const SideState end = snapshot(header_.producers.state[tail & 1]);
  std::vector<bool> seen(segment_->page_count(), false);
  std::uint32_t pages = 1;
  const auto step = [&] {
    const bool fresh = !seen[state.page];
    seen[state.page] = true;
    return fresh;
  };
  if (stands(state) != Status::ok || !sound(end)) {
    trouble = "the positions are damaged";
  } else {
    step();
    if (count_of(tail) < count_of(head)) trouble = "the head is past the tail";
  }
  for (std::uint64_t item = count_of(head); trouble.empty() && item < count_of(tail); ++item) {
    MessageHeader message;
    const std::uint32_t page = state.page;
    if (next_message(state, message) != Status::ok || (state.page != page && !step())) {
      trouble = "item " + std::to_string(item) + " is damaged";
      break;
    }
    if (state.page != page) ++pages;
    if (static_cast<MessageForm>(message.form) == MessageForm::run) {
      Runs runs{};
      if (read_runs(segment_->page(state.page) + state.offset + sizeof message, message.size, item, runs) !=
          Status::ok) {
        trouble = "item " + std::to_string(item) + " has no valid run";
        break;
      }
      for (std::uint32_t i = 0; i < runs.table.runs; ++i) pages += runs.at[i].pages;
    }
    state.offset += static_cast<std::uint32_t>(sizeof message + align8(message.size));
  }
  if (trouble.empty() && (state.page != end.page || state.offset != end.offset)) {
    // The consumers may stand at the end of a page whose successor the producers have not written.
    trouble = "the items do not end where the producers stand";
  }
  if (trouble.empty()) trouble = check_leases();
  std::uint32_t used = 0, held = 0;
  Pool::Live live;
  const bool counted = find_live(live) && pool_.count(live, used, held);
  pages += held;
  if (trouble.empty() && counted && used != pages)
    trouble = std::to_string(used) + " pages in use, " + std::to_string(pages) + " accounted for";
  unlock_both();
  if (trouble.empty() && !counted) return {};
  return trouble;
}

}  // namespace conveyor
