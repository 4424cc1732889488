// A Python type over a C++ class, made with the C API alone.
//
// Its metaclass is `type` and its methods are method descriptors, as of the types that CPython itself has. So a class
// may derive from it and from an ABC, a Protocol or Generic; a bound method pickles, as (getattr, object, name); and
// the interpreter calls it with no dispatcher between. nanobind's types have none of this (docs/adr/0018): they are for
// what no user ever derives from. Arguments and results are converted by nanobind all the same.
//
//   PlainType<Thing> thing("Thing", docs::Thing);
//   thing.init([](void* at, int size) { new (at) Thing(size); }, {"size"_p})
//       .def("grow", [](Thing& self, int by) { self.grow(by); }, {"by"_p = 1}, docs::Thing_grow)
//       .property("size", [](Thing& self) { return self.size(); });
//   thing.add_to(module);
//
// The functions have no state: lambdas without captures, or `function<&f>`. They throw, or return a null object with a
// Python error set.
#pragma once

#include <nanobind/nanobind.h>

#include <concepts>
#include <cstddef>
#include <new>
#include <vector>

#include "signature.hpp"

namespace conveyor::python {

// The type of T's objects; where several share a class, the first, from which the others derive.
template <class T>
inline PyTypeObject* plain_type = nullptr;

template <class T>
struct Instance {
  PyObject_HEAD T* value;  // null until it is initialised
  PyObject* weak_references;
  // Made by further calls of `__init__`. All stay: somebody may be inside a method of an earlier one.
  std::vector<T*>* further;
  alignas(T) std::byte place[sizeof(T)];
};

void raise_uninitialised(PyObject* self);

// The C++ object of a Python object of T's type; null with an error set if it has none yet.
template <class T>
T* value_in(PyObject* object) {
  T* const value = reinterpret_cast<Instance<T>*>(object)->value;
  if (value == nullptr) [[unlikely]]
    raise_uninitialised(object);
  return value;
}

template <class T>
T& plain_cast(PyObject* object) {
  if (PyObject_TypeCheck(object, plain_type<T>) == 0) throw nb::cast_error();
  T* const value = value_in<T>(object);
  if (value == nullptr) throw nb::python_error();
  return *value;
}

// What T holds of Python, for the garbage collector.
template <class T>
concept Collected = requires(T& value, visitproc visit, void* argument) {
  { value.traverse(visit, argument) } -> std::same_as<int>;
  value.forget();
};

// Has something to say before it goes, while what it holds is still whole: in `forget` it may not be.
template <class T>
concept Finalized = requires(T& value) { value.finalize(); };

// Minds that its methods are being called: one of its `Use` lasts as long as each call.
template <class T>
concept Used = requires { typename T::Use; };

template <class T>
struct UseOf {
  explicit UseOf(T&) {}
};
template <Used T>
struct UseOf<T> {
  explicit UseOf(T& value) : use(value) {}
  typename T::Use use;
};

// A first parameter of this type gets the Python object, too.
template <class T>
struct Self {
  T& value;
  nb::handle object;
  T* operator->() const { return &value; }
};

template <auto f>
struct Function;
template <class R, class... A, R (*f)(A...)>
struct Function<f> {
  R operator()(A... arguments) const { return f(std::forward<A>(arguments)...); }
};
template <class T, class R, class... A, R (T::*f)(A...)>
struct Function<f> {
  R operator()(T& self, A... arguments) const { return (self.*f)(std::forward<A>(arguments)...); }
};
template <auto f>
inline constexpr Function<f> function{};

// How F is called by Python as a function of T's type.
template <class T, class F, class = decltype(&F::operator())>
struct Thunk;
template <class T, class F, class R, class First, class... A>
struct Thunk<T, F, R (F::*)(First, A...) const> {
  static constexpr Py_ssize_t count = sizeof...(A);
  static_assert(std::is_empty_v<F>, "no state: the C API has no place for it");
  static_assert(sizeof...(A) <= most_parameters);
  static inline Signature signature;

  template <std::size_t... i>
  static PyObject* run(PyObject* self, PyObject** values, std::index_sequence<i...>) {
    T* const value = value_in<T>(self);
    if (value == nullptr) return nullptr;
    [[maybe_unused]] const UseOf<T> use(*value);
    const auto call = [&]() -> R {
      if constexpr (std::is_same_v<First, Self<T>>) {
        return F{}(Self<T>{*value, nb::handle(self)}, taken<A>(values[i], i)...);
      } else {
        return F{}(*value, taken<A>(values[i], i)...);
      }
    };
    try {
      if constexpr (std::is_void_v<R>) {
        call();
        return Py_NewRef(Py_None);
      } else {
        return given(call());
      }
    } catch (const Unfit& unfit) {
      raise_unfit(signature, unfit);
    } catch (const std::exception&) {
      translate_exception();
    }
    return nullptr;
  }

  static PyObject* method(PyObject* self, PyObject* const* arguments, Py_ssize_t given_count, PyObject* names) {
    PyObject* values[count + 1];
    if (names == nullptr && given_count <= count && given_count >= signature.required) [[likely]] {
      for (Py_ssize_t i = 0; i < count; ++i) values[i] = i < given_count ? arguments[i] : signature.fallbacks[i];
    } else if (!gather(signature, arguments, given_count, names, values)) {
      return nullptr;
    }
    return run(self, values, std::make_index_sequence<sizeof...(A)>{});
  }

  static PyObject* get(PyObject* self, void*) { return run(self, nullptr, std::index_sequence<>{}); }
  static int set(PyObject* self, PyObject* value, void*) {
    if (value == nullptr) {
      PyErr_Format(PyExc_AttributeError, "%s cannot be deleted", signature.function);
      return -1;
    }
    PyObject* const done = run(self, &value, std::make_index_sequence<sizeof...(A)>{});
    Py_XDECREF(done);
    return done == nullptr ? -1 : 0;
  }

  // Makes a T at `at`; false: the arguments do not fit, or `failed`, with a Python error set.
  template <std::size_t... i>
  static bool make(void* at, PyObject** values, bool& failed, std::index_sequence<i...>) {
    try {
      F{}(at, taken<A>(values[i], i)...);
      return true;
    } catch (const Unfit& unfit) {
      raise_unfit(signature, unfit);
    } catch (const std::exception&) {
      failed = true;
      translate_exception();
    }
    return false;
  }
  static bool initialise(void* at, PyObject* arguments, PyObject* keywords, bool& failed) {
    PyObject* values[count + 1];
    return gather(signature, arguments, keywords, values) &&
           make(at, values, failed, std::make_index_sequence<sizeof...(A)>{});
  }
};

// For a slot: runs `action`, and is `failed` with a Python error set when that throws.
template <class R, class Action>
R run_slot(R failed, Action action) {
  try {
    return action();
  } catch (const std::exception&) {
    translate_exception();
    return failed;
  }
}

using FastCall = PyObject* (*)(PyObject*, PyObject* const*, Py_ssize_t, PyObject*);  // METH_FASTCALL | METH_KEYWORDS

// What is told of a type, before it is made; it all lives as long as the process.
class TypePlan {
 public:
  TypePlan(const char* name, const char* doc) : name_(name), doc_(doc) {}
  void method(const char* name, FastCall call, const Signature& signature, const char* doc);
  void property(const char* name, getter get, setter set, const char* doc);
  void generic();
  void slot(int id, void* function) { slots_.push_back({id, function}); }
  nb::object make(std::size_t size, std::size_t weak_offset, unsigned flags, PyTypeObject* base);
  const char* name() const { return name_; }

 private:
  const char *name_, *doc_;
  std::vector<PyMethodDef> methods_;
  std::vector<PyGetSetDef> properties_;
  std::vector<PyType_Slot> slots_;
};

// A new object of the type, which is not initialised. Of an abstract class: a TypeError.
PyObject* make_object(PyTypeObject* type, PyObject* arguments, PyObject* keywords);

template <class T>
class PlainType {
 public:
  explicit PlainType(const char* name, const char* doc = nullptr) : plan_(name, doc) {}

  // `make(void* at, ...)` puts a T there. Of several, the first whose parameters fit the arguments.
  template <class F>
  PlainType& init(F, const std::vector<Parameter>& parameters) {
    Thunk<T, F>::signature.set("__init__", parameters);
    initialisers_.push_back(Thunk<T, F>::initialise);
    return *this;
  }
  template <class F>
  PlainType& def(const char* name, F, const std::vector<Parameter>& parameters = {}, const char* doc = nullptr) {
    Thunk<T, F>::signature.set(name, parameters);
    plan_.method(name, Thunk<T, F>::method, Thunk<T, F>::signature, doc);
    return *this;
  }
  template <class F>
  PlainType& property(const char* name, F, const char* doc = nullptr) {
    Thunk<T, F>::signature.set(name, {});
    plan_.property(name, Thunk<T, F>::get, nullptr, doc);
    return *this;
  }
  template <class Get, class Set>
  PlainType& property(const char* name, Get, Set, const char* doc = nullptr) {
    Thunk<T, Get>::signature.set(name, {});
    Thunk<T, Set>::signature.set(name, {{"value"}});
    plan_.property(name, Thunk<T, Get>::get, Thunk<T, Set>::set, doc);
    return *this;
  }
  // Thing[int] and class Thing(Base[T]) mean something to type checkers only.
  PlainType& generic() {
    plan_.generic();
    return *this;
  }
  // As of PyType_Slot; the function finds the object by `value_in`.
  template <class F>
  PlainType& slot(int id, F* function) {
    plan_.slot(id, reinterpret_cast<void*>(function));
    return *this;
  }

  nb::object add_to(nb::module_& module) {
    unsigned flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE;
    PyTypeObject* const base = plain_type<T>;
    slot(Py_tp_new, make_object).slot(Py_tp_init, initialise).slot(Py_tp_dealloc, deallocate);
    if constexpr (Collected<T>) {
      slot(Py_tp_traverse, traverse).slot(Py_tp_clear, clear);
      flags |= Py_TPFLAGS_HAVE_GC;
    }
    if constexpr (Finalized<T>) slot(Py_tp_finalize, finalize);
    const nb::object type = plan_.make(sizeof(Instance<T>), offsetof(Instance<T>, weak_references), flags, base);
    if (base == nullptr) plain_type<T> = reinterpret_cast<PyTypeObject*>(Py_NewRef(type.ptr()));
    module.attr(plan_.name()) = type;
    return type;
  }

 private:
  static_assert(alignof(T) <= alignof(std::max_align_t), "what CPython allocates has no more");
  using Initialiser = bool (*)(void*, PyObject*, PyObject*, bool&);

  static Instance<T>* instance(PyObject* object) { return reinterpret_cast<Instance<T>*>(object); }

  static int initialise(PyObject* object, PyObject* arguments, PyObject* keywords) {
    Instance<T>* const self = instance(object);
    const bool again = self->value != nullptr;
    void* const at = again ? ::operator new(sizeof(T)) : self->place;
    bool failed = false;
    for (const Initialiser initialiser : initialisers_) {
      PyErr_Clear();
      if (initialiser(at, arguments, keywords, failed)) {
        self->value = static_cast<T*>(at);
        if (again) {
          if (self->further == nullptr) self->further = new std::vector<T*>;
          self->further->push_back(self->value);
        }
        return 0;
      }
      if (failed) break;
    }
    if (again) ::operator delete(at);
    return -1;
  }

  static void deallocate(PyObject* object) {
    Instance<T>* const self = instance(object);
    if constexpr (Finalized<T>) {
      if (PyObject_CallFinalizerFromDealloc(object) < 0) return;
    }
    PyTypeObject* const type = Py_TYPE(object);
    if constexpr (Collected<T>) PyObject_GC_UnTrack(object);
    if (self->weak_references != nullptr) PyObject_ClearWeakRefs(object);
    if (self->further != nullptr) {
      for (T* const each : *self->further) delete each;
      delete self->further;
    }
    if (self->value != nullptr) reinterpret_cast<T*>(self->place)->~T();
    type->tp_free(object);
    Py_DECREF(type);
  }

  static void finalize(PyObject* object)
    requires Finalized<T>
  {
    if (T* const value = instance(object)->value; value != nullptr) value->finalize();
  }
  static int traverse(PyObject* object, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(object));
    T* const value = instance(object)->value;
    return value == nullptr ? 0 : value->traverse(visit, arg);
  }
  static int clear(PyObject* object) {
    if (T* const value = instance(object)->value; value != nullptr) value->forget();
    return 0;
  }

  static inline std::vector<Initialiser> initialisers_;
  TypePlan plan_;
};

}  // namespace conveyor::python
