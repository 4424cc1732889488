// Memory as tensors have it: bytes at an address of somebody else's, as a buffer; and a buffer as a tensor's memory, by DLPack.
#pragma once

#include <nanobind/nanobind.h>

namespace conveyor::python {

void bind_tensor_memory(nanobind::module_& module);

}  // namespace conveyor::python
