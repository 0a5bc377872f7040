// Memory of the host that samplers write to.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace doppel {

inline constexpr size_t kMemoryAlignment = 64;  // a cache line, an AVX-512 register, Arrow's recommendation

// About half of a core's second-level cache: what is sampled at a time there, as the sampler needs some too.
inline constexpr size_t kCacheBytes = 256 << 10;

constexpr size_t aligned_size(size_t bytes) {
  return (bytes + kMemoryAlignment - 1) / kMemoryAlignment * kMemoryAlignment;
}

// Aligned, uninitialised.
using HostMemory = std::unique_ptr<std::byte, void (*)(std::byte*)>;

inline HostMemory allocate_host_memory(size_t bytes) {
  const size_t size = aligned_size(bytes + 1);
  HostMemory memory(static_cast<std::byte*>(std::aligned_alloc(kMemoryAlignment, size)),
                    [](std::byte* allocated) { std::free(allocated); });
  if (!memory) throw std::bad_alloc();
  return memory;
}

}  // namespace doppel
