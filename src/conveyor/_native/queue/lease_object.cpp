#include "lease_object.hpp"

#include <structmember.h>

#include <cmath>
#include <cstddef>
#include <utility>

#include "../support/errors.hpp"
#include "docs.hpp"

namespace conveyor::python {
namespace {

enum class Stage : std::uint8_t { held, acknowledged, given_back, rejected, lost };

struct Lease {
  PyObject_HEAD PyObject* queue;  // keeps the channel alive
  PyObject* item;
  Channel* channel;
  LeaseId id;
  unsigned int attempts;
  std::uint32_t generation;  // of forks: a child has only a copy
  Stage stage;
  bool holds;  // the channel stays as it is until this is settled
};

PyTypeObject* lease_type = nullptr;
// The memory of the last lease that ended, for the next; guarded by the GIL.
Lease* spare = nullptr;

Lease* new_lease() {
  if (spare == nullptr) return PyObject_GC_New(Lease, lease_type);
  Lease* const self = std::exchange(spare, nullptr);
  PyObject_Init(reinterpret_cast<PyObject*>(self), lease_type);
  return self;
}

PyObject* raise_lost(const char* why) {
  raise("LeaseLost", why);
  return nullptr;
}

// Whether `self` may still be settled as `wanted`; no: a Python error is set, or `done`, it has been already.
bool may_settle(Lease* self, Stage wanted, bool& done) {
  done = self->stage == wanted;
  if (done) return false;
  if (self->generation != fork_generation()) {
    raise_lost("the lease is held by the process that this one was forked from");
    return false;
  }
  switch (self->stage) {
    case Stage::held: return true;
    case Stage::acknowledged: raise_lost("the item was acknowledged already"); break;
    case Stage::given_back: raise_lost("the item was given back already"); break;
    case Stage::rejected: raise_lost("the item was rejected already"); break;
    case Stage::lost: raise_lost("the lease was lost before"); break;
  }
  return false;
}

// Nothing keeps the channel any more on its behalf. Within a Use.
void is_settled(Lease* self, Stage as) {
  self->stage = as;
  if (!self->holds) return;
  self->holds = false;
  self->channel->holders().let_go(self->generation);
}

template <class Operation>
PyObject* settle_as(Lease* self, Stage wanted, Operation operation) {
  bool done = false;
  if (!may_settle(self, wanted, done)) return done ? Py_NewRef(Py_None) : nullptr;
  const Channel::Use use(*self->channel);
  switch (const Status status = self->channel->settle(operation, true)) {
    case Status::ok: is_settled(self, wanted); break;
    case Status::interrupted: return nullptr;
    case Status::lost:
      is_settled(self, Stage::lost);
      return raise_lost("the lease was over: the item went back to the queue, and somebody else may have it");
    default: raise_status(status, self->channel->stream().segment(), 0); return nullptr;
  }
  if (wanted != Stage::acknowledged && !self->channel->move_failed()) return nullptr;
  Py_RETURN_NONE;
}

PyObject* acknowledge(Lease* self, PyObject*) {
  return settle_as(self, Stage::acknowledged, [&] { return self->channel->stream().acknowledge(self->id); });
}

PyObject* give_back(Lease* self, std::string_view error, Nanoseconds delay, bool counted = true) {
  return settle_as(self, Stage::given_back,
                   [&] { return self->channel->stream().give_back(self->id, error, delay, counted); });
}

PyObject* release(Lease* self, PyObject* arguments, PyObject* names) {
  static const char* keywords[] = {"delay", "counted", nullptr};
  double delay = 0;
  int counted = 1;
  if (PyArg_ParseTupleAndKeywords(arguments, names, "|dp:release", const_cast<char**>(keywords), &delay, &counted) == 0)
    return nullptr;
  if (std::isnan(delay) || delay < 0) {
    PyErr_SetString(PyExc_ValueError, "delay must be a number of seconds, at least 0");
    return nullptr;
  }
  return give_back(self, "released", static_cast<Nanoseconds>(std::fmin(delay, 4e9) * 1e9), counted != 0);
}

PyObject* reject(Lease* self, PyObject* arguments, PyObject* names) {
  static const char* keywords[] = {"reason", nullptr};
  PyObject* reason = nullptr;
  if (PyArg_ParseTupleAndKeywords(arguments, names, "|O:reject", const_cast<char**>(keywords), &reason) == 0)
    return nullptr;
  std::string text = "rejected";
  if (reason != nullptr && reason != Py_None) text = error_text(reason);
  return settle_as(self, Stage::rejected, [&] { return self->channel->stream().reject(self->id, text); });
}

PyObject* reduce(Lease*, PyObject*) {
  PyErr_SetString(PyExc_TypeError,
                  "the lease is this process's, and cannot be pickled: pass its item, and settle the lease here");
  return nullptr;
}

PyObject* enter(Lease* self, PyObject*) { return Py_NewRef(self->item == nullptr ? Py_None : self->item); }

PyObject* leave(Lease* self, PyObject* const* arguments, Py_ssize_t count) {
  if (count != 3) {
    PyErr_SetString(PyExc_TypeError, "__exit__ takes three arguments");
    return nullptr;
  }
  // Settled in the block; or this is a forked child, and the lease its parent's.
  const bool foreign = self->stage != Stage::held || self->generation != fork_generation();
  if (foreign && self->stage != Stage::lost) Py_RETURN_NONE;
  if (arguments[0] == Py_None) return acknowledge(self, nullptr);
  if (foreign) Py_RETURN_NONE;
  const nb::object done = nb::steal(give_back(self, error_text(arguments[1]), 0));
  // That another process has it by now adds nothing to the exception that is raised.
  if (!done.is_valid() && self->stage == Stage::lost) PyErr_Clear();
  if (PyErr_Occurred() != nullptr) return nullptr;
  Py_RETURN_NONE;
}

void finalize(PyObject* object) {
  auto* const self = reinterpret_cast<Lease*>(object);
  if (self->stage != Stage::held || self->generation != fork_generation()) return;
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  {
    const Channel::Use use(*self->channel);
    is_settled(self, Stage::given_back);
    self->channel->settle([&] { return self->channel->stream().give_back(self->id, "the lease was dropped", 0); },
                          false);
  }
  PyErr_Restore(type, value, trace);
}

int traverse(Lease* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(self->queue);
  Py_VISIT(self->item);
  return 0;
}

int clear(Lease* self) {
  Py_CLEAR(self->item);  // not the queue: the channel goes with it
  return 0;
}

void deallocate(Lease* self) {
  if (self->stage == Stage::held && PyObject_CallFinalizerFromDealloc(reinterpret_cast<PyObject*>(self)) < 0) return;
  PyObject_GC_UnTrack(self);
  Py_CLEAR(self->item);
  Py_CLEAR(self->queue);
  PyTypeObject* const type = Py_TYPE(self);
  // What was finalized bears a mark for the rest of its life.
  if (spare == nullptr && PyObject_GC_IsFinalized(reinterpret_cast<PyObject*>(self)) == 0) {
    spare = self;
  } else {
    PyObject_GC_Del(self);
  }
  Py_DECREF(type);
}

PyObject* represent(Lease* self) {
  static const char* const stages[] = {"held", "acknowledged", "given back", "rejected", "lost"};
  return PyUnicode_FromFormat("<conveyor.Lease of %R, %s>", self->item == nullptr ? Py_None : self->item,
                              stages[static_cast<int>(self->stage)]);
}

template <class Function>
PyCFunction method(Function* function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

}  // namespace

std::string error_text(nb::handle error) {
  std::string text;
  const bool plain = PyUnicode_Check(error.ptr()) != 0;
  if (!plain) text = Py_TYPE(error.ptr())->tp_name;
  const nb::object words = nb::steal(foreign([&] { return PyObject_Str(error.ptr()); }));
  Py_ssize_t size = 0;
  const char* const utf8 = words.is_valid() ? PyUnicode_AsUTF8AndSize(words.ptr(), &size) : nullptr;
  PyErr_Clear();
  if (utf8 != nullptr && size != 0) {
    if (!plain) text += ": ";
    text.append(utf8, static_cast<std::size_t>(size));
  }
  std::size_t most = sizeof LeaseRecord::error;
  if (text.size() <= most) return text;
  while ((static_cast<unsigned char>(text[most]) & 0xc0) == 0x80) --most;  // a character stays whole
  text.resize(most);
  return text;
}

nb::object make_lease(nb::handle queue, Channel& channel, nb::object item, const LeaseId& lease) {
  Lease* const self = new_lease();
  if (self == nullptr) return {};
  self->queue = Py_NewRef(queue.ptr());
  self->item = item.release().ptr();
  self->channel = &channel;
  self->id = lease;
  self->attempts = lease.attempts;
  self->generation = fork_generation();
  self->stage = Stage::held;
  self->holds = true;
  channel.holders().keep();
  PyObject_GC_Track(self);
  return nb::steal(reinterpret_cast<PyObject*>(self));
}

void bind_leases(nb::module_& module) {
  static const std::string release_doc =
      std::string("release($self, delay=0, counted=True)\n--\n\n") + docs::Lease_release;
  static const std::string reject_doc = std::string("reject($self, reason=None)\n--\n\n") + docs::Lease_reject;
  static const std::string acknowledge_doc = std::string("acknowledge($self)\n--\n\n") + docs::Lease_acknowledge;
  static PyMethodDef methods[] = {{"acknowledge", method(acknowledge), METH_NOARGS, acknowledge_doc.c_str()},
                                  {"release", method(release), METH_VARARGS | METH_KEYWORDS, release_doc.c_str()},
                                  {"reject", method(reject), METH_VARARGS | METH_KEYWORDS, reject_doc.c_str()},
                                  {"__reduce__", method(reduce), METH_NOARGS, nullptr},
                                  {"__enter__", method(enter), METH_NOARGS, nullptr},
                                  {"__exit__", method(leave), METH_FASTCALL, nullptr},
                                  {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, nullptr},
                                  {nullptr, nullptr, 0, nullptr}};
  static PyMemberDef members[] = {
      {"item", T_OBJECT_EX, offsetof(Lease, item), READONLY, "The item."},
      {"attempts", T_UINT, offsetof(Lease, attempts), READONLY, "How often it was leased before, and came back."},
      {nullptr, 0, 0, 0, nullptr}};
  static PyType_Slot slots[] = {{Py_tp_doc, const_cast<char*>(docs::Lease)},
                                {Py_tp_methods, methods},
                                {Py_tp_members, members},
                                {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
                                {Py_tp_clear, reinterpret_cast<void*>(clear)},
                                {Py_tp_dealloc, reinterpret_cast<void*>(deallocate)},
                                {Py_tp_finalize, reinterpret_cast<void*>(finalize)},
                                {Py_tp_repr, reinterpret_cast<void*>(represent)},
                                {0, nullptr}};
  static PyType_Spec spec = {"conveyor.Lease", sizeof(Lease), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
  const nb::object type = nb::steal(PyType_FromSpec(&spec));
  if (!type.is_valid()) throw nb::python_error();
  lease_type = reinterpret_cast<PyTypeObject*>(Py_NewRef(type.ptr()));
  module.attr("Lease") = type;
}

}  // namespace conveyor::python
