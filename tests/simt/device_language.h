// CUDA's device language for g++: a .cu file that includes kernels/cuda/simt.h compiles as plain C++ and its kernels
// run on the emulator. Included through simt.h: threadIdx and the like are macros here.
#pragma once

#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <tuple>
#include <type_traits>

#undef __global__
#undef __device__
#undef __host__
#undef __constant__
#undef __shared__
#undef __forceinline__
#undef __launch_bounds__
#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ use_SIMT_SHARED_instead  // a plain static array could be neither poisoned nor guarded

namespace simt {

struct Site {
  const char* file;
  int line;
};
struct Indices {
  uint3 thread, block;
  dim3 block_size, grid_size;
  unsigned char* dynamic_shared;
};
extern Indices indices;  // of the CUDA thread that runs

enum class Collective : uint8_t { kSync, kShuffle, kShuffleUp, kShuffleDown, kShuffleXor, kBallot, kAny, kAll };
enum class Reduction : uint8_t { kNone, kCount, kAnd, kOr };

uint64_t barrier(Site site, Reduction reduction, bool predicate);
uint64_t collective(Site site, Collective kind, unsigned mask, uint64_t value, int argument, int width);
void* allocate_shared(const void* site, size_t bytes, size_t alignment, const char* name);
void note_atomic(const void* address, size_t bytes, void* caller);
void note_fence();

// A kernel with its arguments, copied as a launch copies them.
struct Body {
  std::shared_ptr<const void> closure;
  size_t bytes = 0;
  void (*call)(const void* closure) = nullptr;
};
cudaError_t enqueue_launch(const char* name, dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                           Body body);

template <class... Parameters, class... Arguments>
cudaError_t start(const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                  cudaStream_t stream, Arguments&&... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments), "a kernel takes another number of arguments");
  struct Closure {
    void (*kernel)(Parameters...);
    std::tuple<Parameters...> arguments;
  };
  static_assert(sizeof(Closure) <= 4096, "CUDA passes at most 4 KiB of arguments");
  auto closure = std::make_shared<const Closure>(Closure{kernel, {static_cast<Parameters>(arguments)...}});
  const auto call = [](const void* p) {
    const auto* c = static_cast<const Closure*>(p);
    std::apply(c->kernel, c->arguments);
  };
  return enqueue_launch(name, grid, block, shared_bytes, stream, Body{closure, sizeof(Closure), call});
}

template <class T>
uint64_t to_word(T value) {
  static_assert(sizeof(T) <= 8);
  uint64_t word = 0;
  std::memcpy(&word, &value, sizeof value);
  return word;
}
template <class T>
T from_word(uint64_t word) {
  T value;
  std::memcpy(static_cast<void*>(&value), &word, sizeof value);
  return value;
}

struct Shuffle {  // an object, so that the macros below can take an optional last argument
  Collective kind;
  Site site;
  template <class T>
  T operator()(unsigned mask, T value, int argument, int width = 32) const {
    return from_word<T>(collective(site, kind, mask, to_word(value), argument, width));
  }
};
inline unsigned optional_mask(unsigned mask = 0xffffffffu) {
  return mask;
}

// Not instrumented: the checker is told that this is one atomic access.
template <class T, class Update>
__attribute__((no_sanitize("thread"), noinline)) T read_modify_write(T* address, Update update) {
  note_atomic(address, sizeof(T), __builtin_return_address(0));
  const T old = *address;
  *address = update(old);
  return old;
}

}  // namespace simt

#define threadIdx (simt::indices.thread)
#define blockIdx (simt::indices.block)
#define blockDim (simt::indices.block_size)
#define gridDim (simt::indices.grid_size)

#define SIMT_SITE      \
  simt::Site {         \
    __FILE__, __LINE__ \
  }
#define SIMT_SHARED(T, name, dimensions)                    \
  using simt_type_##name = T dimensions;                    \
  static char simt_site_##name;                             \
  simt_type_##name& name = *static_cast<simt_type_##name*>( \
      simt::allocate_shared(&simt_site_##name, sizeof(simt_type_##name), alignof(simt_type_##name), #name))
#define SIMT_DYNAMIC_SHARED(T, name) T* name = reinterpret_cast<T*>(simt::indices.dynamic_shared)

#define __syncthreads() ((void)simt::barrier(SIMT_SITE, simt::Reduction::kNone, false))
#define __syncthreads_count(p) static_cast<int>(simt::barrier(SIMT_SITE, simt::Reduction::kCount, (p) != 0))
#define __syncthreads_and(p) static_cast<int>(simt::barrier(SIMT_SITE, simt::Reduction::kAnd, (p) != 0))
#define __syncthreads_or(p) static_cast<int>(simt::barrier(SIMT_SITE, simt::Reduction::kOr, (p) != 0))
#define __syncwarp(...) \
  ((void)simt::collective(SIMT_SITE, simt::Collective::kSync, simt::optional_mask(__VA_ARGS__), 0, 0, 32))
#define __shfl_sync (simt::Shuffle{simt::Collective::kShuffle, SIMT_SITE})
#define __shfl_up_sync (simt::Shuffle{simt::Collective::kShuffleUp, SIMT_SITE})
#define __shfl_down_sync (simt::Shuffle{simt::Collective::kShuffleDown, SIMT_SITE})
#define __shfl_xor_sync (simt::Shuffle{simt::Collective::kShuffleXor, SIMT_SITE})
#define SIMT_VOTE(kind, mask, p) simt::collective(SIMT_SITE, simt::Collective::kind, mask, (p) ? 1 : 0, 0, 32)
#define __ballot_sync(mask, p) static_cast<unsigned>(SIMT_VOTE(kBallot, mask, p))
#define __any_sync(mask, p) static_cast<int>(SIMT_VOTE(kAny, mask, p))
#define __all_sync(mask, p) static_cast<int>(SIMT_VOTE(kAll, mask, p))

inline void __threadfence() {
  simt::note_fence();
}
template <class T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return simt::read_modify_write(address, [value](T old) { return static_cast<T>(old + value); });
}
template <class T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  return simt::read_modify_write(address, [value](T old) { return old < value ? value : old; });
}
template <class T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return simt::read_modify_write(address, [=](T old) { return old == expected ? value : old; });
}

template <class T>
T __ldg(const T* address) {
  return *address;
}
inline int __popc(unsigned word) {
  return __builtin_popcount(word);
}
inline int __ffs(int word) {
  return __builtin_ffs(word);
}
inline double __fma_rn(double a, double b, double c) {
  return std::fma(a, b, c);
}
