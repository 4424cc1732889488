// A tensor's memory has no buffer protocol, and a tensor takes memory by DLPack: https://dmlc.github.io/dlpack/latest/c_api.html
#include "tensor_memory.hpp"

#include <nanobind/stl/optional.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include "../support/errors.hpp"
#include "../support/gil.hpp"

namespace conveyor::python {
namespace {

namespace nb = nanobind;

struct ForeignBytes {
  std::byte* data;
  std::size_t size;
  nb::object owner;  // whose they are, and who lives as long as this does
};

int get_foreign_buffer(PyObject* exporter, Py_buffer* view, int flags) {
  const ForeignBytes& bytes = *nb::inst_ptr<ForeignBytes>(exporter);
  return PyBuffer_FillInfo(view, exporter, bytes.data, static_cast<Py_ssize_t>(bytes.size), 0, flags);
}

// DLPack's structs before version 1, which every release of torch, JAX and NumPy reads.
struct DlDevice {
  std::int32_t type, id;
};
struct DlType {
  std::uint8_t code, bits;
  std::uint16_t lanes;
};
struct DlTensor {
  void* data;
  DlDevice device;
  std::int32_t dimensions;
  DlType type;
  std::int64_t* shape;
  std::int64_t* strides;
  std::uint64_t byte_offset;
};
struct DlManaged {
  DlTensor tensor;
  void* context;
  void (*deleter)(DlManaged*);
};
static_assert(sizeof(DlManaged) == 64);

constexpr std::int32_t dl_cpu = 1;
constexpr const char* dl_name = "dltensor";  // of a capsule that nobody has taken yet

struct HeldBuffer {
  DlManaged managed{};
  Py_buffer view{};
  std::vector<std::int64_t> extents;  // the shape, and then the strides

  // With the GIL.
  ~HeldBuffer() {
    if (view.obj != nullptr) foreign([this] { PyBuffer_Release(&view); });
  }
};

bool is_finalising() {
#if PY_VERSION_HEX >= 0x030D0000
  return Py_IsFinalizing() != 0;
#else
  return _Py_IsFinalizing() != 0;
#endif
}

// By whoever has the tensor, in any thread, with or without the GIL.
void delete_managed(DlManaged* managed) {
  auto* const held = static_cast<HeldBuffer*>(managed->context);
  // After the interpreter nobody may touch its objects; the memory ends with the process.
  if (Py_IsInitialized() == 0) return;
  const bool finalising = is_finalising();
  or_stay([&] {
    if (finalising && PyGILState_Check() == 0) return;
    const PyGILState_STATE state = PyGILState_Ensure();
    delete held;
    PyGILState_Release(state);
  });
}

void delete_capsule(PyObject* capsule) {
  if (PyCapsule_IsValid(capsule, dl_name) == 0) return;  // somebody has the tensor
  auto* const managed = static_cast<DlManaged*>(PyCapsule_GetPointer(capsule, dl_name));
  delete static_cast<HeldBuffer*>(managed->context);
}

bool read_extents(nb::handle tuple, std::vector<std::int64_t>& into) {
  const Py_ssize_t count = PyTuple_GET_SIZE(tuple.ptr());
  for (Py_ssize_t i = 0; i < count; ++i) {
    const long long extent = foreign([&] { return PyLong_AsLongLong(PyTuple_GET_ITEM(tuple.ptr(), i)); });
    if (extent == -1 && PyErr_Occurred() != nullptr) return false;
    into.push_back(extent);
  }
  return true;
}

// Whether all elements lie within the buffer: what is asked for may come from a damaged item.
bool lies_within(const HeldBuffer& held, std::uint64_t offset, std::uint64_t item_size) {
  const auto size = static_cast<std::uint64_t>(held.view.len);
  const std::size_t dimensions = held.extents.size() / 2;
  if (offset > size) return false;
  // Of how many bytes torch may compute, even of a tensor without any: its error would be one after it has deleted the
  // memory of a capsule that is still ours.
  std::int64_t most = static_cast<std::int64_t>(item_size);
  std::uint64_t last = 0;  // of the element that lies last, counted in elements
  bool is_empty = false;
  for (std::size_t i = 0; i < dimensions; ++i) {
    const std::int64_t extent = held.extents[i], stride = held.extents[dimensions + i];
    if (extent < 0 || stride < 0) return false;
    if (__builtin_mul_overflow(most, std::max<std::int64_t>(extent, 1), &most)) return false;
    if (extent == 0) {
      is_empty = true;
      continue;
    }
    std::uint64_t reach = 0;
    if (__builtin_mul_overflow(static_cast<std::uint64_t>(extent - 1), static_cast<std::uint64_t>(stride), &reach) ||
        __builtin_add_overflow(last, reach, &last))
      return false;
  }
  if (is_empty) return true;
  std::uint64_t bytes = 0;
  return !__builtin_mul_overflow(last, item_size, &bytes) && bytes <= size - offset &&
         item_size <= size - offset - bytes;
}

// The strides of a tensor without gaps, the last dimension being the innermost. Those of a damaged item may be anything,
// and are found out by lies_within.
void add_dense_strides(std::vector<std::int64_t>& extents) {
  const std::size_t dimensions = extents.size();
  extents.resize(2 * dimensions);
  std::uint64_t stride = 1;
  for (std::size_t i = dimensions; i-- > 0;) {
    extents[dimensions + i] = static_cast<std::int64_t>(stride);
    const auto extent = static_cast<std::uint64_t>(std::max<std::int64_t>(extents[i], 1));
    if (__builtin_mul_overflow(stride, extent, &stride)) stride = std::numeric_limits<std::int64_t>::max();
  }
}

nb::object tensor_capsule(nb::handle buffer, std::uint64_t offset, std::uint8_t code, std::uint8_t bits,
                          nb::tuple shape, std::optional<nb::tuple> strides) {
  auto held = std::make_unique<HeldBuffer>();
  if (strides && PyTuple_GET_SIZE(shape.ptr()) != PyTuple_GET_SIZE(strides->ptr())) {
    PyErr_SetString(PyExc_ValueError, "a tensor has as many strides as dimensions");
    throw nb::python_error();
  }
  if (!read_extents(shape, held->extents)) throw nb::python_error();
  if (!strides) {
    add_dense_strides(held->extents);
  } else if (!read_extents(*strides, held->extents)) {
    throw nb::python_error();
  }
  if (foreign([&] { return PyObject_GetBuffer(buffer.ptr(), &held->view, PyBUF_WRITABLE); }) != 0)
    throw nb::python_error();
  const std::size_t dimensions = held->extents.size() / 2;
  if (!lies_within(*held, offset, bits / 8)) {
    PyErr_SetString(PyExc_ValueError, "a tensor does not lie within its memory: the item is damaged");
    throw nb::python_error();
  }
  DlTensor& tensor = held->managed.tensor;
  tensor.data = static_cast<std::byte*>(held->view.buf) + offset;
  tensor.device = {dl_cpu, 0};
  tensor.dimensions = static_cast<std::int32_t>(dimensions);
  tensor.type = {code, bits, 1};
  tensor.shape = held->extents.data();
  tensor.strides = held->extents.data() + dimensions;
  held->managed.context = held.get();
  held->managed.deleter = delete_managed;
  nb::object capsule = nb::steal(PyCapsule_New(&held->managed, dl_name, delete_capsule));
  if (!capsule.is_valid()) throw nb::python_error();
  held.release();
  return capsule;
}

}  // namespace

void bind_tensor_memory(nb::module_& module) {
  using namespace nb::literals;
  static PyType_Slot slots[] = {{Py_bf_getbuffer, reinterpret_cast<void*>(get_foreign_buffer)}, {0, nullptr}};
  nb::class_<ForeignBytes>(module, "ForeignBytes", nb::type_slots(slots))
      .def("__init__",
           [](ForeignBytes* self, std::uintptr_t address, std::size_t size, nb::object owner) {
             new (self) ForeignBytes{reinterpret_cast<std::byte*>(address), size, std::move(owner)};
           })
      .def("__len__", [](const ForeignBytes& self) { return self.size; });
  module.def("tensor_capsule", &tensor_capsule, "buffer"_a, "offset"_a, "code"_a, "bits"_a, "shape"_a,
             "strides"_a.none());
}

}  // namespace conveyor::python
