// Objects to bytes and back, by pickle protocol 5.
//
// multiprocessing pickles with ForkingPickler, a Python class whose construction alone costs more
// than pickling a small object. We keep C Picklers and use them again, with a dispatch table that
// looks where ForkingPickler looks: first its registered reducers, then copyreg's; and then ours, which
// say how arrays go without a copy.
#pragma once

#include <nanobind/nanobind.h>

#include "payload.hpp"

namespace conveyor::python {

// Imports what is needed to pickle and to decode items, whatever they are. By the process that makes an object that items come
// out of: an import runs Python code, and so signal handlers, in which somebody may want an item. In the midst of an
// import that item could not be made, and would be lost. Throws the Python error.
void import_for_items();

// Into the head, and large buffers beside it if there is a target. False with a Python error set.
bool pickle(PyObject* object, Payload& into);
// New reference, or null with a Python error set. `data`: anything with a buffer; `buffers`: those that
// went beside it, or null.
PyObject* unpickle(PyObject* data, PyObject* buffers = nullptr, Reading how = Reading::once);

}  // namespace conveyor::python
