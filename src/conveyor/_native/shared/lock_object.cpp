// Lock and RLock: types of their own, since a bound method of nanobind's would cost more than the lock itself.
#include "state.hpp"

#include <structmember.h>

#include <new>

#include "../support/plain_type.hpp"
#include "conveyor/sync/mutex.hpp"
#include "docs.hpp"

namespace conveyor::python {
namespace {

struct Held {
  template <class... Arguments>
  explicit Held(Arguments&&... arguments)
      : cell(std::forward<Arguments>(arguments)...), mutex(cell.as<LockCell>()), recursive(cell.as<LockCell>()) {}
  HeldCell cell;
  Mutex mutex;
  RecursiveMutex recursive;
  bool recovered = false;
};

// What `with` calls: made once for each lock, where a bound method would be made for each block, and cost more than
// the lock. It holds no reference to the lock's object, so there is no circle for the garbage collector to find.
struct BoundCall {
  PyObject_HEAD vectorcallfunc call;
  std::shared_ptr<Held> held;
};
PyTypeObject* bound_call_type = nullptr;
PyTypeObject* lock_type = nullptr;  // LockBase

struct LockObject {
  PyObject_HEAD Held* held;  // null until it is initialised
  PyObject* weak_references;
  BoundCall *enter, *leave;
};

bool check_ready(LockObject* self) {
  if (self->held != nullptr) [[likely]]
    return true;
  PyErr_SetString(PyExc_ValueError, "the lock is not initialised");
  return false;
}

std::uint64_t this_thread() { return PyThread_get_thread_ident(); }

template <bool recursive>
Locked take(Held* held) {
  if constexpr (recursive) return held->recursive.take(this_thread());
  return held->mutex.take();
}

template <bool recursive>
Locked try_harder(Held* held) {
  if constexpr (recursive) return held->recursive.try_harder(this_thread());
  return held->mutex.try_harder();
}

// 1: got, 0: not by the deadline, -1: a Python error.
template <bool recursive>
int wait_for(Held* held, Nanoseconds deadline) {
  Locked how = Locked::busy;
  if (!wait_without_gil(held->cell, Locked::interrupted, how, [&](Slices& slices) {
        if constexpr (recursive) return held->recursive.acquire(this_thread(), deadline, slices);
        return held->mutex.acquire(deadline, slices);
      }))
    return -1;
  if (how == Locked::busy) return 0;
  held->recovered = how == Locked::recovered;
  return 1;
}

template <bool recursive>
int acquire_by(Held* held, bool block, PyObject* timeout) {
  Locked how = take<recursive>(held);
  if (how == Locked::busy) {
    Deadline deadline;
    if (block) {
      if (!parse_deadline(Py_True, timeout, deadline)) return -1;
      if (!deadline.immediate) return wait_for<recursive>(held, deadline.at);
    }
    how = try_harder<recursive>(held);
    if (how == Locked::busy) return 0;
  }
  // A further acquire of an RLock by its holder says nothing new of how the first went.
  if (!recursive || held->recursive.depth() == 1) held->recovered = how == Locked::recovered;
  return 1;
}

PyObject* truth(int value) { return value < 0 ? nullptr : PyBool_FromLong(value); }

template <bool recursive>
PyObject* acquire_method(LockObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names) {
  PyObject* values[] = {Py_True, Py_None};
  static const char* const known[] = {"block", "timeout"};
  const Py_ssize_t named = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
  if (count > 2) {
    PyErr_Format(PyExc_TypeError, "acquire() takes at most 2 arguments (%zd given)", count);
    return nullptr;
  }
  for (Py_ssize_t i = 0; i < count; ++i) values[i] = arguments[i];
  for (Py_ssize_t i = 0; i < named; ++i) {
    PyObject* const name = PyTuple_GET_ITEM(names, i);
    int which = -1;
    for (int k = 0; k < 2; ++k) {
      if (PyUnicode_CompareWithASCIIString(name, known[k]) == 0) which = k;
    }
    if (which < count) {
      raise_format(PyExc_TypeError, "acquire() got an unexpected or a second argument %R", name);
      return nullptr;
    }
    values[which] = arguments[count + i];
  }
  const int block = foreign([&] { return PyObject_IsTrue(values[0]); });
  if (block < 0) return nullptr;
  return check_ready(self) ? truth(acquire_by<recursive>(self->held, block != 0, values[1])) : nullptr;
}

template <bool recursive>
bool release(Held* held) {
  if constexpr (recursive) {
    if (held->recursive.release(this_thread())) [[likely]]
      return true;
    PyErr_SetString(PyExc_AssertionError, "attempt to release recursive lock not owned by thread");
  } else {
    if (held->mutex.release()) [[likely]]
      return true;
    PyErr_SetString(PyExc_ValueError, "semaphore or lock released too many times");
  }
  return false;
}

template <bool recursive>
PyObject* release_method(LockObject* self, PyObject*) {
  return check_ready(self) && release<recursive>(self->held) ? Py_NewRef(Py_None) : nullptr;
}

template <bool recursive>
PyObject* enter_block(PyObject* bound, PyObject* const*, std::size_t, PyObject*) {
  return truth(acquire_by<recursive>(reinterpret_cast<BoundCall*>(bound)->held.get(), true, Py_None));
}

template <bool recursive>
PyObject* leave_block(PyObject* bound, PyObject* const*, std::size_t, PyObject*) {
  return release<recursive>(reinterpret_cast<BoundCall*>(bound)->held.get()) ? Py_NewRef(Py_None) : nullptr;
}

bool bind_call(BoundCall*& bound, const std::shared_ptr<Held>& held, vectorcallfunc call) {
  BoundCall* const fresh = PyObject_New(BoundCall, bound_call_type);
  if (fresh == nullptr) return false;
  fresh->call = call;
  new (&fresh->held) std::shared_ptr<Held>(held);
  Py_XSETREF(bound, fresh);
  return true;
}

// As a bound method: (getattr, lock, name), of an object that stands for the same lock.
PyObject* reduce_call(BoundCall* self, PyObject*) {
  const bool recursive = self->call == enter_block<true> || self->call == leave_block<true>;
  const bool enters = self->call == enter_block<true> || self->call == enter_block<false>;
  try {
    const nb::object lock = nb::module_::import_("conveyor.shared.locks")
                                .attr(recursive ? "RLock" : "Lock")
                                .attr("_at")(nb::cast(self->held->cell.tell()), self->held->cell.offset());
    return nb::make_tuple(nb::module_::import_("builtins").attr("getattr"),
                          nb::make_tuple(lock, enters ? "__enter__" : "__exit__"))
        .release()
        .ptr();
  } catch (nb::python_error& error) {
    error.restore();
    return nullptr;
  }
}

void deallocate_call(BoundCall* self) {
  PyTypeObject* const type = Py_TYPE(self);
  self->held.~shared_ptr();
  PyObject_Free(self);
  Py_DECREF(type);
}

// Stands in the type as `__enter__` or `__exit__`, and gives an object its call.
struct CallDescriptor {
  PyObject_HEAD bool is_enter;
};

PyObject* get_call(PyObject* self, PyObject* object, PyObject*) {
  if (object == nullptr) return Py_NewRef(self);
  auto* const lock = reinterpret_cast<LockObject*>(object);
  if (!check_ready(lock)) return nullptr;
  return Py_NewRef(reinterpret_cast<CallDescriptor*>(self)->is_enter ? lock->enter : lock->leave);
}

// As `type(lock).__enter__(lock)`, which contextlib.ExitStack says.
PyObject* call_on_class(PyObject* self, PyObject* arguments, PyObject* names) {
  PyObject* const object = PyTuple_GET_SIZE(arguments) > 0 ? PyTuple_GET_ITEM(arguments, 0) : Py_None;
  if (PyObject_TypeCheck(object, lock_type) == 0) return PyErr_SetString(PyExc_TypeError, "it is no lock"), nullptr;
  const nb::object bound = nb::steal(get_call(self, object, nullptr));
  const nb::object rest = nb::steal(PyTuple_GetSlice(arguments, 1, PyTuple_GET_SIZE(arguments)));
  const bool fine = bound.is_valid() && rest.is_valid();
  return fine ? foreign([&] { return PyObject_Call(bound.ptr(), rest.ptr(), names); }) : nullptr;
}

void deallocate_descriptor(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_Free(self);
  Py_DECREF(type);
}

// A lock within a number or a record lends its region; it is never carved, and never given back.
template <bool recursive>
int initialise(LockObject* self, PyObject* arguments, PyObject* names) {
  static const char* keywords[] = {"region", "offset", nullptr};
  PyObject* region = nullptr;
  unsigned long long offset = 0;
  if (PyArg_ParseTupleAndKeywords(arguments, names, "|OK", const_cast<char**>(keywords), &region, &offset) == 0)
    return -1;
  constexpr CellType type = recursive ? CellType::rlock : CellType::lock;
  try {
    std::shared_ptr<Held> fresh;
    if (region == nullptr) {
      fresh = std::make_shared<Held>(type, sizeof(LockCell));
    } else {
      auto lent = nb::cast<std::shared_ptr<Region>>(nb::handle(region));
      fresh = std::make_shared<Held>(std::move(lent), offset, type, sizeof(LockCell));
    }
    if (!bind_call(self->enter, fresh, enter_block<recursive>) ||
        !bind_call(self->leave, fresh, leave_block<recursive>))
      return -1;
    self->held = fresh.get();
  } catch (nb::python_error& error) {
    error.restore();
    return -1;
  } catch (const nb::cast_error&) {
    PyErr_SetString(PyExc_TypeError, "region must be a Region");
    return -1;
  }
  return 0;
}

PyObject* is_locked(LockObject* self, PyObject*) {
  return check_ready(self) ? PyBool_FromLong(self->held->mutex.holder() != nobody) : nullptr;
}

// Of a Lock: whether this process has it; it does not know its thread.
template <bool recursive>
PyObject* is_mine(LockObject* self, PyObject*) {
  if (!check_ready(self)) return nullptr;
  if constexpr (recursive) return PyBool_FromLong(self->held->recursive.is_mine(this_thread()));
  return PyBool_FromLong(self->held->mutex.holder() == conveyor::self());
}

// For Condition.wait: gives up all of it at once; the depth.
template <bool recursive>
PyObject* give_up(LockObject* self, PyObject*) {
  if (!check_ready(self)) return nullptr;
  if constexpr (recursive) {
    if (self->held->recursive.is_mine(this_thread())) return PyLong_FromUnsignedLongLong(self->held->recursive.leave());
  } else {
    if (self->held->mutex.release()) return PyLong_FromLong(1);
  }
  PyErr_SetString(PyExc_AssertionError, "lock is not owned");
  return nullptr;
}

// And takes it back, whatever signals come; what a handler raised is raised in the end.
template <bool recursive>
PyObject* take_back(LockObject* self, PyObject* depth) {
  if (!check_ready(self)) return nullptr;
  const unsigned long long wanted = PyLong_AsUnsignedLongLong(depth);
  if (wanted == static_cast<unsigned long long>(-1) && PyErr_Occurred() != nullptr) return nullptr;
  nb::object raised;
  for (;;) {
    const int got = wait_for<recursive>(self->held, forever);
    if (got == 1) break;
    raised = take_exception();
  }
  if constexpr (recursive) self->held->recursive.reenter(wanted);
  if (!raised.is_valid()) Py_RETURN_NONE;
  set_exception(raised);
  return nullptr;
}

PyObject* recovered(LockObject* self, void*) {
  return check_ready(self) ? PyBool_FromLong(self->held->recovered) : nullptr;
}

PyObject* holder(LockObject* self, void*) {
  return check_ready(self) ? PyLong_FromUnsignedLongLong(self->held->mutex.holder()) : nullptr;
}

PyObject* depth(LockObject* self, void*) {
  if (!check_ready(self)) return nullptr;
  const RecursiveMutex& mutex = self->held->recursive;
  return PyLong_FromUnsignedLongLong(mutex.is_mine(this_thread()) ? mutex.depth() : 0);
}

PyObject* region(LockObject* self, void*) {
  if (!check_ready(self)) return nullptr;
  return nb::cast(self->held->cell.tell()).release().ptr();
}

PyObject* offset(LockObject* self, void*) {
  return check_ready(self) ? PyLong_FromUnsignedLongLong(self->held->cell.offset()) : nullptr;
}

void deallocate(LockObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  if (self->weak_references != nullptr) PyObject_ClearWeakRefs(reinterpret_cast<PyObject*>(self));
  Py_XDECREF(self->enter);
  Py_XDECREF(self->leave);
  type->tp_free(self);
  Py_DECREF(type);
}

template <class Function>
PyCFunction method(Function* function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

template <bool recursive>
nb::object bind(nb::module_& module, const char* name, const char* spec_name, nb::handle base,
                PyTypeObject* call_descriptor) {
  static const std::string acquire_doc =
      std::string("acquire($self, block=True, timeout=None)\n--\n\n") + docs::LockBase_acquire;
  static const std::string release_doc =
      std::string("release($self)\n--\n\n") + (recursive ? docs::RLockBase_release : docs::LockBase_release);
  static PyMethodDef methods[] = {
      {"acquire", method(acquire_method<recursive>), METH_FASTCALL | METH_KEYWORDS, acquire_doc.c_str()},
      {"release", method(release_method<recursive>), METH_NOARGS, release_doc.c_str()},
      {"locked", method(is_locked), METH_NOARGS, docs::LockBase_locked},
      {"_is_mine", method(is_mine<recursive>), METH_NOARGS, nullptr},
      {"_give_up", method(give_up<recursive>), METH_NOARGS, nullptr},
      {"_take_back", method(take_back<recursive>), METH_O, nullptr},
      {nullptr, nullptr, 0, nullptr}};
  static PyMemberDef members[] = {
      {"__weaklistoffset__", T_PYSSIZET, offsetof(LockObject, weak_references), READONLY, nullptr},
      {nullptr, 0, 0, 0, nullptr}};
  static PyGetSetDef properties[] = {
      {"recovered", reinterpret_cast<getter>(recovered), nullptr, docs::LockBase_recovered, nullptr},
      {"_holder", reinterpret_cast<getter>(holder), nullptr, nullptr, nullptr},
      {"_depth", reinterpret_cast<getter>(depth), nullptr, nullptr, nullptr},
      {"_region", reinterpret_cast<getter>(region), nullptr, nullptr, nullptr},
      {"_offset", reinterpret_cast<getter>(offset), nullptr, nullptr, nullptr},
      {nullptr, nullptr, nullptr, nullptr, nullptr}};
  static PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void*>(make_object)},
                                {Py_tp_init, reinterpret_cast<void*>(initialise<recursive>)},
                                {Py_tp_methods, methods},
                                {Py_tp_members, members},
                                {Py_tp_getset, properties},
                                {Py_tp_dealloc, reinterpret_cast<void*>(deallocate)},
                                {0, nullptr}};
  static PyType_Spec spec = {spec_name, sizeof(LockObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
  nb::object type = nb::steal(PyType_FromSpecWithBases(&spec, base.ptr()));
  if (!type.is_valid()) throw nb::python_error();
  for (const bool is_enter : {true, false}) {
    CallDescriptor* const call = PyObject_New(CallDescriptor, call_descriptor);
    if (call == nullptr) throw nb::python_error();
    call->is_enter = is_enter;
    type.attr(is_enter ? "__enter__" : "__exit__") = nb::steal(reinterpret_cast<PyObject*>(call));
  }
  module.attr(name) = type;
  return type;
}

}  // namespace

void bind_locks(nb::module_& module) {
  static PyMemberDef call_members[] = {
      {"__vectorcalloffset__", T_PYSSIZET, offsetof(BoundCall, call), READONLY, nullptr}, {nullptr, 0, 0, 0, nullptr}};
  static PyMethodDef call_methods[] = {{"__reduce__", method(reduce_call), METH_NOARGS, nullptr},
                                       {nullptr, nullptr, 0, nullptr}};
  static PyType_Slot call_slots[] = {{Py_tp_methods, call_methods},
                                     {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
                                     {Py_tp_members, call_members},
                                     {Py_tp_dealloc, reinterpret_cast<void*>(deallocate_call)},
                                     {0, nullptr}};
  constexpr unsigned int flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION;
  static PyType_Spec call_spec = {"conveyor._native._LockCall", sizeof(BoundCall), 0,
                                  flags | Py_TPFLAGS_HAVE_VECTORCALL, call_slots};
  static PyType_Slot descriptor_slots[] = {{Py_tp_descr_get, reinterpret_cast<void*>(get_call)},
                                           {Py_tp_call, reinterpret_cast<void*>(call_on_class)},
                                           {Py_tp_dealloc, reinterpret_cast<void*>(deallocate_descriptor)},
                                           {0, nullptr}};
  static PyType_Spec descriptor_spec = {"conveyor._native._LockCallDescriptor", sizeof(CallDescriptor), 0, flags,
                                        descriptor_slots};
  const nb::object call = nb::steal(PyType_FromSpec(&call_spec));
  const nb::object descriptor = nb::steal(PyType_FromSpec(&descriptor_spec));
  if (!call.is_valid() || !descriptor.is_valid()) throw nb::python_error();
  bound_call_type = reinterpret_cast<PyTypeObject*>(Py_NewRef(call.ptr()));
  auto* const descriptors = reinterpret_cast<PyTypeObject*>(descriptor.ptr());
  const nb::object lock = bind<false>(module, "LockBase", "conveyor._native.LockBase", {}, descriptors);
  lock_type = reinterpret_cast<PyTypeObject*>(Py_NewRef(lock.ptr()));
  bind<true>(module, "RLockBase", "conveyor._native.RLockBase", lock, descriptors);
}

}  // namespace conveyor::python
