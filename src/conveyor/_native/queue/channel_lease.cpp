// Leasing: take, decode, and from then on it is the Lease object's business.
#include <algorithm>
#include <cmath>

#include "../support/errors.hpp"
#include "channel.hpp"
#include "lease_object.hpp"

namespace conveyor::python {
namespace {

// When so much time will have passed. The queue's own lease time may be damaged: any number.
Nanoseconds after(Nanoseconds time) {
  const Nanoseconds now = monotonic_now();
  return time > forever - now ? forever : now + std::max<Nanoseconds>(time, 0);
}

}  // namespace

bool Channel::parse_lease_time(nb::handle seconds, Nanoseconds& time) {
  time = stream_->segment().header().leases.lease_time;
  if (seconds.is_none()) return true;
  const double wanted = foreign([&] { return PyFloat_AsDouble(seconds.ptr()); });
  if (wanted == -1.0 && PyErr_Occurred() != nullptr) return false;
  if (std::isnan(wanted) || wanted <= 0) {
    raise_format(PyExc_ValueError, "lease_seconds is %R; it must be above 0, or None", seconds.ptr());
    return false;
  }
  time = wanted < 9e9 ? static_cast<Nanoseconds>(wanted * 1e9) : forever;
  return true;
}

// The pending error says why the item could not be made.
void Channel::give_back_undecoded(const LeaseId& lease) {
  const nb::object error = take_exception();
  const std::string text = error_text(error);
  settle([&] { return stream_->give_back(lease, text, 0); }, false);
  if (move_failed()) set_exception(error);  // else it is Ctrl-C that is to be raised
}

nb::object Channel::lease(nb::handle self, const Deadline& deadline, nb::handle seconds) {
  Nanoseconds time;
  if (!parse_lease_time(seconds, time)) return {};
  LeaseId lease;
  nb::object item = lease_one(deadline, lease);
  if (!item.is_valid()) return {};
  // Only now: while it was decoded, nobody else could have had it.
  if (time != forever) stream_->set_due(lease, after(time));
  nb::object made = make_lease(self, *this, std::move(item), lease);
  if (!made.is_valid()) give_back_undecoded(lease);
  return made;
}

nb::object Channel::lease_many(nb::handle self, std::size_t most, const Deadline& deadline, nb::handle seconds) {
  Nanoseconds time;
  if (!parse_lease_time(seconds, time)) return {};
  std::vector<Leased> taken;
  if (!lease_some(std::min<std::size_t>(most, lease_capacity(stream_->segment().page_count())), deadline, taken))
    return {};
  nb::list leases;
  const Nanoseconds due = after(time);
  for (Leased& each : taken) {
    if (due != forever) stream_->set_due(each.lease, due);
    const nb::object made = make_lease(self, *this, std::move(each.item), each.lease);
    if (made.is_valid()) {
      leases.append(made);
      continue;
    }
    give_back_undecoded(each.lease);
    PyErr_Clear();  // no memory for it now; it comes again
  }
  return leases;
}

nb::object Channel::task_done() {
  if (closed()) [[unlikely]]
    return nb::none();
  switch (const Status status = settle([&] { return stream_->task_done(); }, true)) {
    case Status::ok: return nb::bool_(true);
    case Status::empty: return nb::bool_(false);
    case Status::interrupted: return {};
    default: return raise_status(status, stream_->segment(), 0);
  }
}

}  // namespace conveyor::python
