// The GIL: doing without it while a call waits or copies, calls that may run Python code, and what becomes of a thread
// that is not let in any more.
//
// Once the main thread has begun to finalise the interpreter, CPython up to 3.13 ends every other thread that wants the
// GIL, by pthread_exit: its stack is unwound from within whatever call wanted it. What lies on that stack is ours and
// nanobind's: destructors that touch Python objects, which would now be done without the GIL, and functions that must
// not be left so, for which the process is aborted. From 3.14 on such a thread stays where it is, for ever. Here it
// does so in every version: the first destructor on the way does not return. (To ask beforehand whether the interpreter
// is finalising does not help: it may begin to while the thread waits.)
//
// Hence two rules. The GIL is given up by WithoutGil alone; and whatever may run Python code, which gives it up and
// takes it back, is called within `foreign`. tests/unit/test_house.py reads the names of such calls.
#pragma once

#include <nanobind/nanobind.h>

#include <exception>
#include <type_traits>
#include <utility>

namespace conveyor::python {

namespace nb = nanobind;

// The thread does nothing any more, and hears no signal; it goes with the process.
[[noreturn]] void stay() noexcept;

// How many calls of `foreign` are going on, in all threads; guarded by the GIL.
inline int foreign_calls = 0;
// Whether there were some when this process was forked: only then a call of ours may be going on that the forking thread
// began before.
bool was_forked_inside_call();

// On the stack of a call that may be ended by the interpreter's end. A call that has neither returned nor thrown is being
// unwound by pthread_exit: libstdc++ alone has an exception to catch for that (abi::__forced_unwind), but destructors are
// run by every C++ runtime, and no forced unwinding counts among the uncaught exceptions.
class Unended {
 public:
  Unended() = default;
  ~Unended() {
    if (!returned_ && std::uncaught_exceptions() <= thrown_) {
      stay();
    }
  }
  Unended(const Unended&) = delete;
  Unended& operator=(const Unended&) = delete;
  void returned() { returned_ = true; }

 private:
  const int thrown_ = std::uncaught_exceptions();  // those whose destructors this call is made from
  bool returned_ = false;
};

// `call` may be ended by the interpreter's end: then its thread stays there. Nothing in `call` itself may have a destructor
// that minds: no nb::object, but for what is handed in.
template <class Call>
decltype(auto) or_stay(Call call) {
  Unended unended;
  if constexpr (std::is_void_v<decltype(call())>) {
    call();
    unended.returned();
  } else {
    decltype(auto) result = call();
    unended.returned();
    return result;
  }
}

// Calls `call`, which may run Python code.
template <class Call>
decltype(auto) foreign(Call call) {
  struct Counted {
    Counted() { ++foreign_calls; }
    ~Counted() { --foreign_calls; }
  };
  return or_stay([&]() -> decltype(auto) {
    const Counted counted;
    return call();
  });
}

class WithoutGil {
 public:
  WithoutGil() : state_(PyEval_SaveThread()) {}
  ~WithoutGil() {
    or_stay([this] { PyEval_RestoreThread(state_); });
  }
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  PyThreadState* state_;
};

// Runs the handlers of signals that have come. False: one raised, and that is the Python error.
inline bool look_for_signals() {
  return foreign([] { return PyErr_CheckSignals(); }) == 0;
}

// An object that may have its last reference here, and run a finalizer when it goes.
class Last {
 public:
  explicit Last(nb::object& object) : object_(object) {}
  ~Last() { drop(object_); }
  Last(const Last&) = delete;
  Last& operator=(const Last&) = delete;
  static void drop(nb::object& object) {
    foreign([gone = object.release().ptr()] { Py_XDECREF(gone); });
  }

 private:
  nb::object& object_;
};

// The calls, by `foreign`. Null with a Python error set.
inline nb::object import_module(const char* name) {
  return nb::steal(foreign([&] { return PyImport_ImportModule(name); }));
}

inline nb::object attribute(nb::handle object, const char* name) {
  return nb::steal(foreign([&] { return PyObject_GetAttrString(object.ptr(), name); }));
}

template <class... Arguments>
nb::object call(nb::handle callable, const Arguments&... arguments) {
  PyObject* const all[] = {nullptr, arguments.ptr()...};  // the first is the callee's to use
  return nb::steal(foreign([&] {
    return PyObject_Vectorcall(callable.ptr(), all + 1, sizeof...(arguments) | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
  }));
}

template <class... Arguments>
nb::object call_method(nb::handle object, const char* name, const Arguments&... arguments) {
  const nb::object method = attribute(object, name);
  return method.is_valid() ? call(method, arguments...) : nb::object();
}

// PyErr_Format: what is named by %R or %S may have its own code for that.
template <class... Arguments>
void raise_format(PyObject* type, const char* format, Arguments... arguments) {
  foreign([&] { PyErr_Format(type, format, arguments...); });
}

}  // namespace conveyor::python
