// The edges of `with` blocks, for classes that are written in Python.
//
// A signal's handler may raise between any two steps of Python code. Were `__enter__` such code, it might raise when the
// lock is taken, or the producer registered, and the block not yet entered: then nobody would ever undo it. From a
// function in C, CPython goes into the block without looking for signals, and out of the block into such a function.
// So what has an effect is done here, and what may be interrupted comes before it.
#include <unistd.h>

#include "errors.hpp"
#include "gil.hpp"

namespace conveyor::python {
namespace {

bool set_attribute(nb::handle object, const char* name, nb::handle value) {
  return foreign([&] { return PyObject_SetAttrString(object.ptr(), name, value.ptr()); }) == 0;
}

bool is_true(nb::handle object) { return object.ptr() == Py_True; }

// ---- a lock, and what stands on one

// `_to_enter()`: the lock, and the block's value. Nothing else of the class's is called once the lock is taken.
nb::object enter_locked(nb::handle self) {
  const nb::object both = call_method(self, "_to_enter");
  if (!both.is_valid()) return {};
  const nb::handle lock(PyTuple_GET_ITEM(both.ptr(), 0)), value(PyTuple_GET_ITEM(both.ptr(), 1));
  return call_method(lock, "__enter__").is_valid() ? nb::borrow(value) : nb::object();
}

nb::object leave_locked(nb::handle self, nb::handle kind, nb::handle error, nb::handle trace) {
  const nb::object lock = attribute(self, "_lock");
  return lock.is_valid() ? call_method(lock, "__exit__", kind, error, trace) : nb::object();
}

// The same, and tells those who wait for a change.
nb::object leave_changed(nb::handle self, nb::handle kind, nb::handle error, nb::handle trace) {
  const nb::object memory = attribute(self, "_memory");
  if (!memory.is_valid() || !leave_locked(self, kind, error, trace).is_valid()) return {};
  return call_method(memory, "_notify");
}

// `_locked`: what is in C of its lock, which may be one of multiprocessing's.
nb::object enter_condition(nb::handle self) {
  static PyObject* const locked = PyUnicode_InternFromString("_locked");
  static PyObject* const enter = PyUnicode_InternFromString("__enter__");
  const nb::object lock = nb::steal(foreign([&] { return PyObject_GetAttr(self.ptr(), locked); }));
  if (!lock.is_valid()) return {};
  return nb::steal(foreign([&] { return PyObject_CallMethodNoArgs(lock.ptr(), enter); }));
}

nb::object leave_condition(nb::handle self, nb::handle kind, nb::handle error, nb::handle trace) {
  static PyObject* const locked = PyUnicode_InternFromString("_locked");
  static PyObject* const exit = PyUnicode_InternFromString("__exit__");
  const nb::object lock = nb::steal(foreign([&] { return PyObject_GetAttr(self.ptr(), locked); }));
  if (!lock.is_valid()) return {};
  PyObject* const all[] = {lock.ptr(), kind.ptr(), error.ptr(), trace.ptr()};
  return nb::steal(foreign([&] { return PyObject_VectorcallMethod(exit, all, 4, nullptr); }));
}

// ---- what is closed at the end of the block

nb::object enter_closing(nb::handle self) { return nb::borrow(self); }

nb::object leave_closing(nb::handle self, nb::handle, nb::handle, nb::handle) {
  return call_method(self, "close").is_valid() ? nb::none() : nb::object();
}

// Of one that a handler has interrupted in its `__init__`: there may be nothing to close yet.
nb::object close_if_made(nb::handle self) {
  const nb::object raised = take_exception();
  if (!call_method(self, "close").is_valid()) PyErr_Clear();
  if (raised.is_valid()) set_exception(raised);
  return nb::none();
}

// ---- a producer

// `_to_enter()`: the key by which the block is known to this thread, whether it counts, and what `_inside` is from now on.
nb::object enter_producing(nb::handle self) {
  const nb::object told = call_method(self, "_to_enter");
  const nb::object queue = attribute(self, "_queue");
  const nb::object inside = attribute(self, "_inside");
  if (!told.is_valid() || !queue.is_valid() || !inside.is_valid()) return {};
  const nb::handle key(PyTuple_GET_ITEM(told.ptr(), 0)), counts(PyTuple_GET_ITEM(told.ptr(), 1)),
      next(PyTuple_GET_ITEM(told.ptr(), 2));
  if (!set_attribute(self, "_counts", counts) || !set_attribute(self, "_key", key)) return {};
  if (!call_method(queue, "_enter_producing", counts).is_valid()) {
    const nb::object error = take_exception();
    set_attribute(self, "_key", nb::none());
    set_exception(error);
    return {};
  }
  if (is_true(counts)) {
    const nb::object token = nb::steal(PyContextVar_Set(inside.ptr(), next.ptr()));
    if (!token.is_valid()) PyErr_Clear();  // no memory: then it counts twice if it is entered within itself
  }
  return queue;
}

nb::object leave_producing(nb::handle self, nb::handle, nb::handle, nb::handle) {
  const nb::object key = attribute(self, "_key");
  if (!key.is_valid()) return {};
  if (key.is_none() || PyLong_AsLong(PyTuple_GET_ITEM(key.ptr(), 0)) != getpid()) {
    PyErr_Clear();
    return nb::none();  // forked inside the block: it is the parent's
  }
  const nb::object queue = attribute(self, "_queue"), counts = attribute(self, "_counts"),
                   inside = attribute(self, "_inside");
  if (!queue.is_valid() || !counts.is_valid() || !inside.is_valid()) return {};
  if (!set_attribute(self, "_key", nb::none())) return {};
  if (is_true(counts)) {
    PyObject* now = nullptr;
    PyContextVar_Get(inside.ptr(), nullptr, &now);
    const nb::object all = nb::steal(now);
    const nb::object gone = nb::steal(PyFrozenSet_New(nb::make_tuple(key).ptr()));
    if (all.is_valid() && gone.is_valid()) {
      // Tasks are compared, which may be anybody's.
      const nb::object left = nb::steal(foreign([&] { return PyNumber_Subtract(all.ptr(), gone.ptr()); }));
      if (left.is_valid()) nb::steal(PyContextVar_Set(inside.ptr(), left.ptr()));
    }
    PyErr_Clear();
  }
  return call_method(queue, "_leave_producing");
}

// ---- a key of a dict

nb::object raise_update(const char* format, nb::handle self) {
  const nb::object key = attribute(self, "_key");
  if (key.is_valid()) raise_format(PyExc_RuntimeError, format, key.ptr());
  return {};
}

nb::object enter_update(nb::handle self) {
  const nb::object claim = attribute(self, "_claim"), table = attribute(self, "_table"), key = attribute(self, "_key"),
                   timeout = attribute(self, "_timeout"), no_value = attribute(self, "_no_value");
  if (!claim.is_valid() || !table.is_valid() || !key.is_valid() || !timeout.is_valid() || !no_value.is_valid())
    return {};
  if (is_true(attribute(claim, "is_held"))) return raise_update("the block of update(%R) is entered already", self);
  if (!set_attribute(self, "_value", no_value) || !set_attribute(self, "_removed", nb::bool_(false))) return {};
  const nb::object before = call_method(table, "_claim", key, timeout, claim);
  if (before.is_valid() && set_attribute(self, "_before", before)) return nb::borrow(self);
  const nb::object error = take_exception();
  call_method(claim, "give_back");
  set_exception(error);
  return {};
}

nb::object leave_update(nb::handle self, nb::handle kind, nb::handle, nb::handle) {
  const nb::object claim = attribute(self, "_claim"), table = attribute(self, "_table"), key = attribute(self, "_key"),
                   value = attribute(self, "_value"), no_value = attribute(self, "_no_value");
  if (!claim.is_valid() || !table.is_valid() || !key.is_valid() || !value.is_valid() || !no_value.is_valid()) return {};
  if (!is_true(attribute(claim, "is_held"))) return raise_update("the block of update(%R) was left already", self);
  const nb::object done = kind.is_none() && value.ptr() != no_value.ptr()
                              ? call_method(table, "_settle_value", key, claim, value, attribute(self, "_before"))
                              : call_method(table, "_settle", key, claim,
                                            nb::bool_(kind.is_none() && is_true(attribute(self, "_removed"))));
  if (done.is_valid()) return done;
  // The value could not be written: the key is free again, as it was.
  const nb::object error = take_exception();
  call_method(claim, "give_back");
  set_exception(error);
  return {};
}

// ---- leases

// Not even the frame of an `__init__` shall hold on to leases that a handler keeps from being used.
nb::object init_leases(nb::handle self, nb::handle leases) {
  return set_attribute(self, "_leases", leases) ? nb::none() : nb::object();
}

nb::object enter_leases(nb::handle self) {
  const nb::object leases = attribute(self, "_leases");
  nb::list items;
  for (Py_ssize_t i = 0; leases.is_valid() && i < PyList_GET_SIZE(leases.ptr()); ++i) {
    const nb::object item = attribute(nb::borrow(PyList_GET_ITEM(leases.ptr(), i)), "item");
    if (!item.is_valid()) return {};
    items.append(item);
  }
  return leases.is_valid() ? items : nb::object();
}

// An exception gives them back, the last first, so that each goes in front of the one before.
nb::object leave_leases(nb::handle self, nb::handle kind, nb::handle error, nb::handle trace) {
  const nb::object leases = attribute(self, "_leases");
  if (!leases.is_valid()) return {};
  const Py_ssize_t count = PyList_GET_SIZE(leases.ptr());
  nb::object raised;
  for (Py_ssize_t i = 0; i < count; ++i) {
    const nb::object lease = nb::borrow(PyList_GET_ITEM(leases.ptr(), kind.is_none() ? i : count - 1 - i));
    if (call_method(lease, "__exit__", kind, error, trace).is_valid()) continue;
    // The others are settled all the same. Ctrl-C goes before a lease that was lost.
    if (!raised.is_valid() || PyErr_GivenExceptionMatches(raised.ptr(), PyExc_Exception) != 0) {
      raised = take_exception();
    } else {
      PyErr_Clear();
    }
  }
  if (!raised.is_valid()) return nb::none();
  set_exception(raised);
  return {};
}

template <class... Arguments>
constexpr std::size_t count_of(nb::object (*)(Arguments...)) {
  return sizeof...(Arguments);
}

template <auto function, std::size_t... i>
PyObject* run(PyObject* const* arguments, std::index_sequence<i...>) {
  return function(nb::handle(arguments[i])...).release().ptr();
}

template <auto function>
PyObject* call_by_python(PyObject*, PyObject* const* arguments, Py_ssize_t given) {
  constexpr std::size_t wanted = count_of(function);
  if (static_cast<std::size_t>(given) != wanted) {
    PyErr_Format(PyExc_TypeError, "%zu arguments are expected, and %zd were given", wanted, given);
    return nullptr;
  }
  try {
    return run<function>(arguments, std::make_index_sequence<wanted>{});
  } catch (nb::python_error& error) {
    error.restore();
    return nullptr;
  }
}

// A function of (self, ...) that classes take for their method of that name, by which it pickles, with no dispatcher
// between.
template <auto function>
void define(nb::module_& module, const char* name, const char* method_name) {
  static PyMethodDef definition = {};
  definition.ml_name = method_name;
  definition.ml_meth = reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&call_by_python<function>));
  definition.ml_flags = METH_FASTCALL;
  const nb::object plain = nb::steal(PyCFunction_New(&definition, nullptr));
  const nb::object method = plain.is_valid() ? nb::steal(PyInstanceMethod_New(plain.ptr())) : nb::object();
  if (!method.is_valid()) throw nb::python_error();
  module.attr(name) = method;
}

}  // namespace

void bind_blocks(nb::module_& module) {
  define<enter_locked>(module, "enter_locked", "__enter__");
  define<leave_locked>(module, "leave_locked", "__exit__");
  define<leave_changed>(module, "leave_changed", "__exit__");
  define<enter_condition>(module, "enter_condition", "__enter__");
  define<leave_condition>(module, "leave_condition", "__exit__");
  module.def("close_if_made", &close_if_made, nb::arg("self"));
  define<enter_closing>(module, "enter_closing", "__enter__");
  define<leave_closing>(module, "leave_closing", "__exit__");
  define<enter_producing>(module, "enter_producing", "__enter__");
  define<leave_producing>(module, "leave_producing", "__exit__");
  define<enter_update>(module, "enter_update", "__enter__");
  define<leave_update>(module, "leave_update", "__exit__");
  define<init_leases>(module, "init_leases", "__init__");
  define<enter_leases>(module, "enter_leases", "__enter__");
  define<leave_leases>(module, "leave_leases", "__exit__");
}

}  // namespace conveyor::python
