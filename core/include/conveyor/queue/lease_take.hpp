// Taking, once more: what was given back comes first, and what is taken under lease stays noted. The end of
// stream.hpp, which alone includes this.
#pragma once

namespace conveyor {

template <class Sink>
Status Stream::take(std::size_t count, Sink& sink, std::size_t& done, LeaseId* leases) {
  if (table_.any_out()) [[unlikely]]
    look_after(monotonic_coarse());
  done = 0;
  if (header_.returned.load(acquire) != 0) [[unlikely]] {  // acquire: with `depth`, a hint; the lock orders the rest
    const Status status = take_returned(count, sink, done, leases);
    if (status != Status::ok || done == count) return done > 0 ? Status::ok : status;
  }
  std::size_t more = 0;
  const Status status = take_fresh(count - done, sink, more, leases == nullptr ? nullptr : leases + done);
  if (done == 0) {
    done = more;
    return status;
  }
  done += more;
  return Status::ok;
}

// Hands the sink a leased item, whose runs become this process's with the commit that the caller makes.
template <class Sink>
Status Stream::show(const LeaseRecord& record, Sink& sink) {
  MessageHeader message;
  const std::byte* payload;
  Runs runs;
  if (const Status status = find_message(record, message, payload, runs); status != Status::ok) return status;
  if constexpr (requires { sink.from(0U); }) sink.from(message.sender);
  if (runs.table.runs == 0) return sink.message(message.kind, payload, message.size) ? Status::ok : Status::refused;
  for (std::uint32_t i = 0; i < runs.table.runs; ++i) segment_->descriptor(runs.at[i].first).owner = self();
  return sink.runs(message.kind, runs.at, runs.table.runs, payload + runs.size(), runs.table.head_size)
             ? Status::ok
             : Status::refused;
}

template <class Sink>
[[gnu::noinline, gnu::cold]] Status Stream::take_returned(std::size_t count, Sink& sink, std::size_t& done,
                                                          LeaseId* leases) {
  sweep_if_wanted();
  if (const Status status = lock(header_.consumers, 0); status != Status::ok) return status;
  Status status = Status::ok;
  while (done < count) {
    const std::uint32_t index = table_.first_returned();
    if (index == no_lease) {
      header_.returned.store(0, relaxed);  // relaxed: under the lock. It said more only if it was damaged
      break;
    }
    status = show(table_.at(index), sink);
    if (status != Status::ok) break;
    if (leases != nullptr) {
      leases[done] = table_.take_over(index, LeaseStage::leased);
    } else {
      drop_item(index, false);  // by a plain get: its runs are the taker's
    }
    ++done;
  }
  if (ready_.watched()) ready_.settle([this] { return nothing_to_tell(); });
  header_.consumers.lock.unlock();
  if (done > 0 && header_.max_items != unbounded) {
    header_.not_full.notify_after_exchange(static_cast<int>(done < 1024 ? done : 1024));
  }
  return status;
}

template <class Sink>
Status Stream::take_failed(Sink& sink, LeaseId& lease, Failure& failure) {
  if (const Status status = lock(header_.consumers, 0); status != Status::ok) return status;
  Status status = Status::empty;
  for (std::uint32_t index = 0; index < table_.high(); ++index) {
    if (table_.word(index).stage != LeaseStage::failed) continue;
    const LeaseRecord& record = table_.at(index);
    status = show(record, sink);
    if (status != Status::ok) break;
    const std::uint32_t size = record.error_size;
    failure.attempts = table_.word(index).attempts;
    failure.pid = record.pid;
    failure.error.assign(record.error, size < sizeof record.error ? size : sizeof record.error);
    lease = table_.take_over(index, LeaseStage::moving);
    break;
  }
  header_.consumers.lock.unlock();
  return status;
}

}  // namespace conveyor
