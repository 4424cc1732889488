// A device of torch's for tests, by its place for devices of others (PrivateUse1): memory that the processor cannot read
// where tensors say that it is, so that whoever takes it for the host's dies of it. What copies knows a second mapping.
#include <ATen/EmptyTensor.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/as_strided_cpu_dispatch.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/set_cpu_dispatch.h>
#include <ATen/ops/view_native.h>
#include <c10/core/Allocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <sys/mman.h>
#include <torch/library.h>

#include <atomic>
#include <cstddef>
#include <mutex>

namespace {

constexpr std::size_t all = std::size_t{1} << 28;

struct Memory {
  char* seen;  // by tensors: no access
  char* real;
  std::size_t used = 0;
  std::mutex mutex;

  Memory() {
    const int fd = memfd_create("far device", 0);
    TORCH_CHECK(fd >= 0 && ftruncate(fd, all) == 0);
    real = static_cast<char*>(mmap(nullptr, all, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    seen = static_cast<char*>(mmap(nullptr, all, PROT_NONE, MAP_SHARED, fd, 0));
    close(fd);
  }
  // Nothing is given back: tests are short.
  void* take(std::size_t size) {
    const std::lock_guard lock(mutex);
    const std::size_t at = used;
    used += (size + 63) / 64 * 64;
    TORCH_CHECK(used <= all, "the far device is full");
    return seen + at;
  }
  char* real_of(const void* pointer) const { return real + (static_cast<const char*>(pointer) - seen); }
};

Memory& memory() {
  static auto* const made = new Memory;
  return *made;
}

struct FarAllocator final : c10::Allocator {
  c10::DataPtr allocate(std::size_t size) override {
    void* const data = size == 0 ? nullptr : memory().take(size);
    return {data, data, [](void*) {}, c10::Device(c10::DeviceType::PrivateUse1, 0)};
  }
  c10::DeleterFnPtr raw_deleter() const override {
    return [](void*) {};
  }
  void copy_data(void* to, const void* from, std::size_t count) const override {
    std::memcpy(memory().real_of(to), memory().real_of(from), count);
  }
};
FarAllocator allocator;
REGISTER_ALLOCATOR(c10::DeviceType::PrivateUse1, &allocator);
C10_REGISTER_GUARD_IMPL(PrivateUse1, c10::impl::NoOpDeviceGuardImpl<c10::DeviceType::PrivateUse1>);

constexpr c10::DispatchKeySet keys(c10::DispatchKey::PrivateUse1);

at::Tensor empty(c10::IntArrayRef size, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout>,
                 std::optional<c10::Device>, std::optional<bool>, std::optional<c10::MemoryFormat> format) {
  return at::detail::empty_generic(size, &allocator, keys, c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<c10::ScalarType> dtype,
                         std::optional<c10::Layout>, std::optional<c10::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, &allocator, keys, c10::dtype_or_default(dtype));
}

// The same elements, where the processor can read them.
at::Tensor readable(const at::Tensor& tensor) {
  if (tensor.is_cpu() || tensor.numel() == 0) return tensor;
  at::Tensor same = at::from_blob(memory().real_of(tensor.const_data_ptr()), tensor.sizes(), tensor.strides(),
                                  tensor.options().device(c10::kCPU));
  same._set_conj(tensor.is_conj());
  same._set_neg(tensor.is_neg());
  return same;
}

std::atomic<std::int64_t> copied = 0;

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool) {
  if (from.numel() != 0) readable(to).copy_(readable(from));
  copied += static_cast<std::int64_t>(from.nbytes());
  return to;
}

at::Tensor as_strided(const at::Tensor& self, c10::IntArrayRef size, c10::IntArrayRef stride,
                      std::optional<std::int64_t> offset) {
  return at::cpu::as_strided(self, size, stride, offset);
}

at::Tensor& set(at::Tensor& self, c10::Storage source, std::int64_t offset, c10::IntArrayRef size,
                c10::IntArrayRef stride) {
  return at::cpu::set_(self, source, offset, size, stride);
}

void fall_back(const c10::OperatorHandle& op, torch::jit::Stack* stack) { at::native::cpu_fallback(op, stack); }

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&fall_back>()); }

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("_copy_from", copy_from);
  m.impl("as_strided", as_strided);
  m.impl("view", at::native::view);
  m.impl("set_.source_Storage_storage_offset", set);
}

TORCH_LIBRARY_IMPL(aten, Conjugate, m) { m.impl("_copy_from", torch::CppFunction::makeFallthrough()); }
TORCH_LIBRARY_IMPL(aten, Negative, m) { m.impl("_copy_from", torch::CppFunction::makeFallthrough()); }

TORCH_LIBRARY(far_device, m) {
  m.def("copied", [] { return copied.load(); });
}

}  // namespace
