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
  nb::dict ours;        // _reducers.TABLE

  nb::object find(nb::handle type) const {
    for (const nb::dict* table : {&registered, &copyreg, &ours}) {
      if (PyObject* const found = PyDict_GetItemWithError(table->ptr(), type.ptr()); found != nullptr)
        return nb::borrow(found);
      if (PyErr_Occurred() != nullptr) return {};
    }
    if (const nb::object late = late_reducer(type); late.is_valid() || PyErr_Occurred() != nullptr) return late;
    PyErr_SetObject(PyExc_KeyError, type.ptr());
    return {};
  }

 private:
  // NumPy is not imported for our sake: its reducer is made when its first array comes by.
  static nb::object late_reducer(nb::handle type) {
    if (std::strcmp(reinterpret_cast<PyTypeObject*>(type.ptr())->tp_name, "numpy.ndarray") != 0) return {};
    const nb::object module = nb::steal(PyImport_ImportModule("conveyor._reducers"));
    if (!module.is_valid()) return {};
    return nb::steal(PyObject_CallMethod(module.ptr(), "late_reducer", "O", type.ptr()));
  }
};

// A Pickler and the pieces that it writes. Used by one thread at a time, and not re-entered: a
// __reduce__ that puts on a queue itself gets another one.
struct Machine {
  nb::object dump, clear_memo;
  Packed* target = nullptr;
};

PyObject* machine_write(PyObject* self, PyObject* piece) {
  auto* const machine = static_cast<Machine*>(PyCapsule_GetPointer(self, nullptr));
  if (machine == nullptr || !machine->target->add(piece)) return nullptr;
  Py_RETURN_NONE;
}

// Pickle offers a buffer: true: write it into the pickle; false: we have it.
PyObject* machine_buffer(PyObject* self, PyObject* buffer) {
  auto* const machine = static_cast<Machine*>(PyCapsule_GetPointer(self, nullptr));
  if (machine == nullptr) return nullptr;
  Packed& target = *machine->target;
  if (target.target == nullptr && !target.for_topic) Py_RETURN_TRUE;
  Py_buffer view;
  if (PyObject_GetBuffer(buffer, &view, PyBUF_FULL_RO) != 0) return nullptr;
  const bool ours =
      PyBuffer_IsContiguous(&view, 'A') != 0 &&
      (view.len >= least_buffer || (target.target != nullptr && Loan::find(view.buf, static_cast<std::size_t>(view.len),
                                                                           *target.target) != nullptr));
  if (!ours) {
    PyBuffer_Release(&view);
    Py_RETURN_TRUE;
  }
  target.add_buffer(view);
  Py_RETURN_FALSE;
}

PyMethodDef buffer_definition = {"buffer_callback", machine_buffer, METH_O, nullptr};
PyMethodDef write_definition = {"write", machine_write, METH_O, nullptr};

struct Tools {
  std::vector<std::unique_ptr<Machine>> idle;
  nb::object pickler, loads, namespace_type, reducers;
  nb::object buffers_word = nb::make_tuple("buffers");  // the name of loads' second argument
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
  fresh->reducers =
      nb::module_::import_("conveyor._native")
          .attr("_Reducers")(registered, copyreg, nb::module_::import_("conveyor._reducers").attr("TABLE"));
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
  const nb::object callback = nb::steal(PyCFunction_New(&buffer_definition, capsule.ptr()));
  const nb::object pickler = tools().pickler(file, 5, nb::arg("buffer_callback") = callback);
  pickler.attr("dispatch_table") = tools().reducers;
  machine->dump = pickler.attr("dump");
  machine->clear_memo = pickler.attr("clear_memo");
  return machine;
}

}  // namespace

bool pickle(PyObject* object, Packed& into) {
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
  into.kind = into.sources().empty() ? Kind::pickle : Kind::buffers;
  return true;
}

PyObject* unpickle(PyObject* data, PyObject* buffers) {
  Tools& all = tools();
  if (buffers == nullptr) return PyObject_CallOneArg(all.loads.ptr(), data);
  PyObject* const arguments[] = {data, buffers};
  return PyObject_Vectorcall(all.loads.ptr(), arguments, 1, all.buffers_word.ptr());
}

void bind_pickling(nb::module_& module) {
  nb::class_<Reducers>(module, "_Reducers")
      .def("__init__",
           [](Reducers* self, nb::dict registered, nb::dict copyreg, nb::dict ours) {
             new (self) Reducers{std::move(registered), std::move(copyreg), std::move(ours)};
           })
      .def("__getitem__", &Reducers::find);
}

}  // namespace conveyor::python
