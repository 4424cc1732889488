#include "pickling.hpp"

#include <algorithm>
#include <iterator>
#include <memory>
#include <string_view>
#include <vector>

#include "../codec/object_leaves.hpp"
#include "../support/errors.hpp"

namespace conveyor::python {
namespace {

namespace nb = nanobind;

struct Machine;
// The one whose reducer this thread has called last, of those that are at work.
thread_local Machine* current = nullptr;

// What a Pickler takes for its dispatch_table. Live: a reducer registered later counts at once.
struct Reducers {
  nb::dict registered;  // ForkingPickler.register
  nb::dict copyreg;     // copyreg.pickle
  nb::dict ours;        // _reducers.TABLE

  // By reducer: torch's, and what takes its place here. None: it stays. Its own table stays as it is, for others' picklers.
  nb::dict replaced;

  Machine* machine = nullptr;  // whose Pickler this is of

  nb::object find(nb::handle type) const {
    // The reducer is called next. Greenlets may have left another one half-way in between.
    current = machine;
    for (const nb::dict* table : {&registered, &copyreg, &ours}) {
      // A metaclass may have its own hash.
      PyObject* const found = foreign([&] { return PyDict_GetItemWithError(table->ptr(), type.ptr()); });
      if (found != nullptr) return table == &registered ? in_place_of(found) : nb::borrow(found);
      if (PyErr_Occurred() != nullptr) return {};
    }
    if (const nb::object late = late_reducer(type); late.is_valid() || PyErr_Occurred() != nullptr) return late;
    PyErr_SetObject(PyExc_KeyError, type.ptr());
    return {};
  }

 private:
  nb::object in_place_of(nb::handle reducer) const {
    // Only plain functions: what else is callable may have a hash and a __module__ of its own.
    if (PyFunction_Check(reducer.ptr()) == 0) return nb::borrow(reducer);
    PyObject* found = PyDict_GetItemWithError(replaced.ptr(), reducer.ptr());
    nb::object asked;
    if (found == nullptr) {
      const nb::object module = import_module("conveyor._memory.reducers");
      asked = module.is_valid() ? call_method(module, "in_place_of", reducer) : nb::object();
      if (!asked.is_valid() || PyDict_SetItem(replaced.ptr(), reducer.ptr(), asked.ptr()) != 0) return {};
      found = asked.ptr();
    }
    return nb::borrow(found == Py_None ? reducer.ptr() : found);
  }

  // Packages are not imported for our sake: the reducers of their types are made when the first object comes by. Python
  // tells the types of such a name from others.
  static nb::object late_reducer(nb::handle type) {
    constexpr std::string_view names[] = {"ndarray", "ArrayImpl", "DataFrame", "Series", "DupFd"};
    const std::string_view full = reinterpret_cast<PyTypeObject*>(type.ptr())->tp_name;
    const std::string_view name = full.substr(full.rfind('.') + 1);  // after none: npos + 1 is 0
    if (std::find(std::begin(names), std::end(names), name) == std::end(names) && !full.starts_with("pyarrow.lib."))
      return {};
    const nb::object module = import_module("conveyor._memory.reducers");
    nb::object made = module.is_valid() ? call_method(module, "late_reducer", type) : nb::object();
    return made.is_none() ? nb::object() : made;
  }
};

// A Pickler and the pieces that it writes. Used by one thread at a time, and not re-entered: a
// __reduce__ that puts on a queue itself gets another one.
struct Machine {
  nb::object dump, clear_memo;
  Payload* target = nullptr;
  nb::dict notes;  // of reducers, about the item; for the time of its pickling
  nb::object unless_put;  // a list of their callables, for when it is not put after all; null: there are none
};

// Those at work, of all threads. Guarded by the GIL.
std::vector<Machine*>& at_work() {
  static auto* const all = new std::vector<Machine*>;  // never destroyed: it would be before the last call
  return *all;
}

// What a reducer has noted in the midst of an item, and may note; None: the pickler is not ours.
nb::object notes_of_item() { return current == nullptr ? nb::none() : nb::object(current->notes); }

// Has it called if the item that is being pickled is not put after all, where that is known. False with a Python error set.
bool unless_put(nb::object take_back) {
  if (current == nullptr || !current->target->may_be_unput) return true;
  nb::object& all = current->unless_put;
  if (!all.is_valid()) all = nb::steal(PyList_New(0));
  return all.is_valid() && PyList_Append(all.ptr(), take_back.ptr()) == 0;
}

// Where the item goes that is being pickled: "queue", whose consumer gets it from a process that lives, as a rule; "named",
// a queue that outlives processes; "topic"; "bytes", somewhere else.
const char* place_of_item() {
  if (current == nullptr) return "bytes";
  const Payload& payload = *current->target;
  if (payload.target == nullptr) return payload.for_topic ? "topic" : "bytes";
  return payload.target->name().empty() ? "queue" : "named";
}

// Whether tensors in the memory of a device go by value there.
bool item_copies_devices() { return current != nullptr && current->target->copies_devices; }

thread_local Reading reading = Reading::once;

const char* reading_of_item() {
  return reading == Reading::once ? "once" : reading == Reading::lease ? "lease" : "look";
}

class ReadingAs {
 public:
  explicit ReadingAs(Reading how) : before_(reading) { reading = how; }
  ~ReadingAs() { reading = before_; }
  ReadingAs(const ReadingAs&) = delete;

 private:
  const Reading before_;
};

// Whether a reducer has learned something that earlier parts of the item should have known: then all is pickled once more.
bool take_again(const nb::dict& notes) {
  PyObject* const again = PyDict_GetItemString(notes.ptr(), "again");
  return again == Py_True && PyDict_SetItemString(notes.ptr(), "again", Py_False) == 0;
}

class Current {
 public:
  explicit Current(Machine& machine) : machine_(machine), before_(current) {
    at_work().push_back(&machine);
    current = &machine;
  }
  ~Current() {
    auto& all = at_work();
    std::erase(all, &machine_);
    // What was under way may have ended since, in another greenlet.
    current = std::find(all.begin(), all.end(), before_) != all.end() ? before_ : nullptr;
  }
  Current(const Current&) = delete;

 private:
  Machine& machine_;
  Machine* const before_;
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
  Payload& target = *machine->target;
  if (target.target == nullptr && !target.for_topic) Py_RETURN_TRUE;
  Py_buffer view;
  if (foreign([&] { return PyObject_GetBuffer(buffer, &view, PyBUF_FULL_RO); }) != 0) return nullptr;
  const bool ours =
      PyBuffer_IsContiguous(&view, 'A') != 0 &&
      (view.len >= least_buffer || (target.target != nullptr && Loan::find(view.buf, static_cast<std::size_t>(view.len),
                                                                           *target.target) != nullptr));
  if (!ours) {
    foreign([&] { PyBuffer_Release(&view); });
    Py_RETURN_TRUE;
  }
  target.add_buffer(view);
  Py_RETURN_FALSE;
}

PyMethodDef buffer_definition = {"buffer_callback", machine_buffer, METH_O, nullptr};
PyMethodDef write_definition = {"write", machine_write, METH_O, nullptr};

struct Tools {
  std::vector<std::unique_ptr<Machine>> idle;
  nb::object pickler, loads, namespace_type, reducers_type;
  nb::object registered, copyreg, ours;  // tables of reducers
  nb::object buffers_word = nb::make_tuple("buffers");  // the name of loads' second argument
};

// Throws the Python error.
nb::object of_module(const char* module, const char* name) {
  const nb::object found = import_module(module);
  nb::object wanted = found.is_valid() ? attribute(found, name) : nb::object();
  if (!wanted.is_valid()) throw nb::python_error();
  return wanted;
}

Tools* make_tools() {
  auto fresh = std::make_unique<Tools>();
  fresh->pickler = of_module("pickle", "Pickler");
  fresh->loads = of_module("pickle", "loads");
  fresh->namespace_type = of_module("types", "SimpleNamespace");
  fresh->registered = attribute(of_module("multiprocessing.reduction", "ForkingPickler"), "_extra_reducers");
  if (!fresh->registered.is_valid()) throw nb::python_error();
  fresh->copyreg = of_module("copyreg", "dispatch_table");
  fresh->ours = of_module("conveyor._memory.reducers", "TABLE");
  fresh->reducers_type = of_module("conveyor._native", "_Reducers");
  if (!call(of_module("conveyor._memory.reducers", "import_uuid")).is_valid()) throw nb::python_error();
  return fresh.release();
}

// Never destroyed: it would outlive the interpreter.
Tools* the_tools = nullptr;

Tools& tools() {
  import_for_items();
  return *the_tools;
}

std::unique_ptr<Machine> make_machine() {
  auto machine = std::make_unique<Machine>();
  const nb::object capsule = nb::steal(PyCapsule_New(machine.get(), nullptr, nullptr));
  const nb::object write = nb::steal(PyCFunction_New(&write_definition, capsule.ptr()));
  const nb::object file = tools().namespace_type(nb::arg("write") = write);
  const nb::object callback = nb::steal(PyCFunction_New(&buffer_definition, capsule.ptr()));
  const nb::object pickler = tools().pickler(file, 5, nb::arg("buffer_callback") = callback);
  const nb::object reducers = call(tools().reducers_type, tools().registered, tools().copyreg, tools().ours);
  if (!reducers.is_valid()) throw nb::python_error();
  nb::inst_ptr<Reducers>(reducers)->machine = machine.get();
  pickler.attr("dispatch_table") = reducers;
  machine->dump = pickler.attr("dump");
  machine->clear_memo = pickler.attr("clear_memo");
  return machine;
}

}  // namespace

void import_for_items() {
  if (the_tools != nullptr) [[likely]]
    return;
  // The imports let others run, who may come here, too. So more than one may make them; one stays.
  if (!load_leaves()) throw nb::python_error();
  Tools* const fresh = make_tools();
  if (the_tools == nullptr) the_tools = fresh;
}

bool pickle(PyObject* object, Payload& into) {
  Tools& all = tools();
  std::unique_ptr<Machine> machine;
  if (all.idle.empty()) {
    machine = make_machine();
  } else {
    machine = std::move(all.idle.back());
    all.idle.pop_back();
  }
  machine->target = &into;
  for (bool again = true; again;) {
    PyObject* done = nullptr;
    {
      const Current within(*machine);
      done = foreign([&] { return PyObject_CallOneArg(machine->dump.ptr(), object); });
    }
    if (machine->unless_put.is_valid()) into.promise(std::move(machine->unless_put));
    if (done == nullptr) {
      // A Pickler stopped half-way is thrown away; the C object that its `write` points to must outlive it.
      machine->target = nullptr;
      machine->dump.reset();
      machine->clear_memo.reset();
      into.clear();
      return false;
    }
    Py_DECREF(done);
    again = PyDict_GET_SIZE(machine->notes.ptr()) != 0 && take_again(machine->notes);
    if (again) into.clear();
    if (again && PyErr_Occurred() != nullptr) return false;
    PyObject* const cleared = foreign([&] { return PyObject_CallNoArgs(machine->clear_memo.ptr()); });
    if (cleared == nullptr) return false;
    Py_DECREF(cleared);
  }
  machine->target = nullptr;
  if (PyDict_GET_SIZE(machine->notes.ptr()) != 0) foreign([&] { PyDict_Clear(machine->notes.ptr()); });
  all.idle.push_back(std::move(machine));
  into.kind = into.sources().empty() ? Kind::pickle : Kind::buffers;
  return true;
}

PyObject* unpickle(PyObject* data, PyObject* buffers, Reading how) {
  Tools& all = tools();
  const ReadingAs as(how);
  PyObject* const arguments[] = {data, buffers};
  PyObject* const names = buffers == nullptr ? nullptr : all.buffers_word.ptr();
  return foreign([&] { return PyObject_Vectorcall(all.loads.ptr(), arguments, 1, names); });
}

void bind_pickling(nb::module_& module) {
  nb::class_<Reducers>(module, "_Reducers")
      .def("__init__",
           [](Reducers* self, nb::dict registered, nb::dict copyreg, nb::dict ours) {
             new (self) Reducers{std::move(registered), std::move(copyreg), std::move(ours)};
           })
      .def("__getitem__", &Reducers::find);
  module.def("notes_of_item", &notes_of_item);
  module.def("unless_put", [](nb::object take_back) {
    if (!unless_put(std::move(take_back))) throw nb::python_error();
  });
  module.def("place_of_item", &place_of_item);
  module.def("item_copies_devices", &item_copies_devices);
  module.def("reading_of_item", &reading_of_item);
}

}  // namespace conveyor::python
