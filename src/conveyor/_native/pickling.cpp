#include "pickling.hpp"

#include <cstring>
#include <memory>

namespace conveyor::python {
namespace {

namespace nb = nanobind;

// What a Pickler takes for its dispatch_table. Live: a reducer registered later counts at once.
struct Reducers {
  nb::dict registered;  // ForkingPickler.register
  nb::dict copyreg;     // copyreg.pickle

  nb::object find(nb::handle type) const {
    for (const nb::dict* table : {&registered, &copyreg}) {
      if (PyObject* const found = PyDict_GetItemWithError(table->ptr(), type.ptr()); found != nullptr)
        return nb::borrow(found);
      if (PyErr_Occurred() != nullptr) return {};
    }
    PyErr_SetObject(PyExc_KeyError, type.ptr());
    return {};
  }
};

// A Pickler and the pieces that it writes. Used by one thread at a time, and not re-entered: a
// __reduce__ that puts on a queue itself gets another one.
struct Machine {
  nb::object dump, clear_memo;
  Pickled* target = nullptr;
};

PyObject* machine_write(PyObject* self, PyObject* piece) {
  auto* const machine = static_cast<Machine*>(PyCapsule_GetPointer(self, nullptr));
  if (machine == nullptr || !machine->target->add(piece)) return nullptr;
  Py_RETURN_NONE;
}

PyMethodDef write_definition = {"write", machine_write, METH_O, nullptr};

struct Tools {
  std::vector<std::unique_ptr<Machine>> idle;
  nb::object pickler, loads, namespace_type, reducers;
};

Tools* make_tools() {
  auto fresh = std::make_unique<Tools>();
  const nb::module_ module = nb::module_::import_("pickle");
  fresh->pickler = module.attr("Pickler");
  fresh->loads = module.attr("loads");
  fresh->namespace_type = nb::module_::import_("types").attr("SimpleNamespace");
  const nb::object registered =
      nb::module_::import_("multiprocessing.reduction").attr("ForkingPickler").attr("_extra_reducers");
  const nb::object copyreg = nb::module_::import_("copyreg").attr("dispatch_table");
  fresh->reducers = nb::module_::import_("conveyor._native").attr("_Reducers")(registered, copyreg);
  return fresh.release();
}

Tools& tools() {
  // Not a static with an initialiser: the imports let other threads run, and one that came here
  // would wait for the initialiser with the GIL in its hand. Two may make one; one of them stays.
  // Never destroyed: it would outlive the interpreter.
  static Tools* made = nullptr;
  if (made == nullptr) {
    Tools* const fresh = make_tools();
    if (made == nullptr) made = fresh;
  }
  return *made;
}

std::unique_ptr<Machine> make_machine() {
  auto machine = std::make_unique<Machine>();
  const nb::object capsule = nb::steal(PyCapsule_New(machine.get(), nullptr, nullptr));
  const nb::object write = nb::steal(PyCFunction_New(&write_definition, capsule.ptr()));
  const nb::object file = tools().namespace_type(nb::arg("write") = write);
  const nb::object pickler = tools().pickler(file, 5);
  pickler.attr("dispatch_table") = tools().reducers;
  machine->dump = pickler.attr("dump");
  machine->clear_memo = pickler.attr("clear_memo");
  return machine;
}

}  // namespace

Pickled::~Pickled() {
  for (Py_buffer& piece : pieces_) PyBuffer_Release(&piece);
}

bool Pickled::add(PyObject* piece) {
  Py_buffer view;
  if (PyObject_GetBuffer(piece, &view, PyBUF_SIMPLE) != 0) return false;
  pieces_.push_back(view);
  size_ += static_cast<std::size_t>(view.len);
  return true;
}

const std::byte* Pickled::contiguous() {
  if (pieces_.size() == 1) return static_cast<const std::byte*>(pieces_[0].buf);
  joined_.resize(size_);
  copy_to(joined_.data());
  return joined_.data();
}

void Pickled::copy_to(std::byte* target) const {
  for (const Py_buffer& piece : pieces_) {
    std::memcpy(target, piece.buf, static_cast<std::size_t>(piece.len));
    target += piece.len;
  }
}

bool pickle(PyObject* object, Pickled& into) {
  Tools& all = tools();
  std::unique_ptr<Machine> machine;
  if (all.idle.empty()) {
    machine = make_machine();
  } else {
    machine = std::move(all.idle.back());
    all.idle.pop_back();
  }
  machine->target = &into;
  PyObject* const done = PyObject_CallOneArg(machine->dump.ptr(), object);
  machine->target = nullptr;
  if (done == nullptr) {
    // A Pickler stopped half-way is thrown away; the C object that its `write` points to must outlive it.
    machine->dump.reset();
    machine->clear_memo.reset();
    return false;
  }
  Py_DECREF(done);
  PyObject* const cleared = PyObject_CallNoArgs(machine->clear_memo.ptr());
  if (cleared == nullptr) return false;
  Py_DECREF(cleared);
  all.idle.push_back(std::move(machine));
  return true;
}

PyObject* unpickle(PyObject* data) { return PyObject_CallOneArg(tools().loads.ptr(), data); }

void bind_pickling(nb::module_& module) {
  nb::class_<Reducers>(module, "_Reducers")
      .def("__init__", [](Reducers* self, nb::dict registered,
                          nb::dict copyreg) { new (self) Reducers{std::move(registered), std::move(copyreg)}; })
      .def("__getitem__", &Reducers::find);
}

}  // namespace conveyor::python
