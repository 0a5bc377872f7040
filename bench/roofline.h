// Ceilings of this machine, measured in the same run as what they judge: writing to memory (plain and non-temporal
// stores), fused multiply-adds out of the L1 cache, and writing a file with fsync. One thread each, the best of several
// tries, each measured once a run and only when asked for. BENCH_FOLDER is where the file goes (default: the temporary
// folder).
//
//   roofline::set_ceiling(state, rows, {roofline::memory_ceiling(bytes_per_row), ...});
#pragma once

#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace doppel::roofline {

// Seconds of a clock that `work` takes, the least of several tries: CLOCK_THREAD_CPUTIME_ID for computing (what Google
// Benchmark divides by, too; other jobs on the machine do not count), CLOCK_MONOTONIC where waiting counts.
inline double best_seconds(clockid_t clock, int tries, const std::function<void()>& work) {
  const auto now = [clock] {
    timespec time;
    clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  double best = 0;
  for (int i = 0; i < tries; ++i) {
    const double start = now();
    work();
    const double seconds = now() - start;
    if (i == 0 || seconds < best) best = seconds;
  }
  return best;
}

// Memory on huge pages where the system grants them, touched, so that no page fault is measured.
class TouchedMemory {
 public:
  explicit TouchedMemory(size_t bytes)
      : bytes_(bytes), data_(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    if (data_ == MAP_FAILED) throw std::bad_alloc();
    madvise(data_, bytes, MADV_HUGEPAGE);
    std::memset(data_, 1, bytes);
  }
  ~TouchedMemory() { munmap(data_, bytes_); }
  TouchedMemory(const TouchedMemory&) = delete;
  TouchedMemory& operator=(const TouchedMemory&) = delete;
  std::byte* data() const { return static_cast<std::byte*>(data_); }
  size_t size() const { return bytes_; }

 private:
  size_t bytes_;
  void* data_;
};

inline void stream_zeros(std::byte* to, size_t bytes) {
#if defined(__x86_64__)
  const __m128i zero = _mm_setzero_si128();
  for (size_t at = 0; at < bytes; at += 64)
    for (size_t part = 0; part < 64; part += 16) _mm_stream_si128(reinterpret_cast<__m128i*>(to + at + part), zero);
  _mm_sfence();
#else
  std::memset(to, 0, bytes);
#endif
}

struct MemoryCeiling {
  double plain = 0, streamed = 0;  // bytes a second
  double best() const { return std::max(plain, streamed); }
};

inline const MemoryCeiling& memory() {
  static const MemoryCeiling ceiling = [] {
    const TouchedMemory memory(size_t{256} << 20);
    const auto bytes = static_cast<double>(memory.size());
    MemoryCeiling found;
    found.plain = bytes / best_seconds(CLOCK_THREAD_CPUTIME_ID, 5, [&] {
                    std::memset(memory.data(), 2, memory.size());
                    benchmark::ClobberMemory();
                  });
    found.streamed =
        bytes / best_seconds(CLOCK_THREAD_CPUTIME_ID, 5, [&] { stream_zeros(memory.data(), memory.size()); });
    return found;
  }();
  return ceiling;
}

constexpr int64_t kFmaRounds = 2'000'000, kFmaChains = 12;

#if defined(__x86_64__)
// Twelve independent chains: more than latency times units, fewer than registers.
__attribute__((target("avx2,fma"))) inline double fma_chains_avx2() {
  __m256 sum[kFmaChains];
  for (auto& chain : sum) chain = _mm256_set1_ps(1.0f);
  const __m256 factor = _mm256_set1_ps(0.999f), term = _mm256_set1_ps(0.001f);
  for (int64_t round = 0; round < kFmaRounds; ++round)
#pragma GCC unroll 12
    for (auto& chain : sum) chain = _mm256_fmadd_ps(chain, factor, term);
  for (auto& chain : sum) benchmark::DoNotOptimize(chain);
  return 2.0 * 8 * kFmaChains * kFmaRounds;
}
__attribute__((target("avx512f"))) inline double fma_chains_avx512() {
  __m512 sum[kFmaChains];
  for (auto& chain : sum) chain = _mm512_set1_ps(1.0f);
  const __m512 factor = _mm512_set1_ps(0.999f), term = _mm512_set1_ps(0.001f);
  for (int64_t round = 0; round < kFmaRounds; ++round)
#pragma GCC unroll 12
    for (auto& chain : sum) chain = _mm512_fmadd_ps(chain, factor, term);
  for (auto& chain : sum) benchmark::DoNotOptimize(chain);
  return 2.0 * 16 * kFmaChains * kFmaRounds;
}
#else
inline double fma_chains_plain() {
  typedef float Vector __attribute__((vector_size(16)));
  Vector sum[kFmaChains];
  for (auto& chain : sum) chain = Vector{1, 1, 1, 1};
  for (int64_t round = 0; round < kFmaRounds; ++round)
#pragma GCC unroll 12
    for (auto& chain : sum)
      for (int lane = 0; lane < 4; ++lane) chain[lane] = __builtin_fmaf(chain[lane], 0.999f, 0.001f);
  for (auto& chain : sum) benchmark::DoNotOptimize(chain);
  return 2.0 * 4 * kFmaChains * kFmaRounds;
}
#endif

// Floating-point operations a second: a fused multiply-add counts two.
inline double fma_flops() {
  static const double ceiling = [] {
#if defined(__x86_64__)
    const auto chains = __builtin_cpu_supports("avx512f") ? fma_chains_avx512 : fma_chains_avx2;
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 0.0;
#else
    const auto chains = fma_chains_plain;
#endif
    double flops = 0;
    const double seconds = best_seconds(CLOCK_THREAD_CPUTIME_ID, 5, [&] { flops = chains(); });
    return flops / seconds;
  }();
  return ceiling;
}

inline std::string bench_folder() {
  const char* wanted = std::getenv("BENCH_FOLDER");
  return wanted != nullptr ? wanted : std::filesystem::temp_directory_path().string();
}

// Bytes a second of a new file of 512 MiB in blocks of 4 MiB, until fsync returns; 0 where it cannot be written.
inline double disk_write() {
  static const double ceiling = [] {
    const std::string path = bench_folder() + "/doppel-bench-roofline";
    const std::vector<std::byte> block(size_t{4} << 20, std::byte{0x5A});
    constexpr int kBlocks = 128;
    bool written = true;
    const double seconds = best_seconds(CLOCK_MONOTONIC, 3, [&] {
      const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
      for (int i = 0; i < kBlocks && written; ++i)
        written = write(file, block.data(), block.size()) == static_cast<ssize_t>(block.size());
      written = written && fsync(file) == 0;
      if (file >= 0) close(file);
    });
    std::filesystem::remove(path);
    return written ? static_cast<double>(block.size()) * kBlocks / seconds : 0.0;
  }();
  return ceiling;
}

// A counter: `amount` an iteration, shown as so much a second.
inline benchmark::Counter rate(double amount) {
  return benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate);
}

// What a benchmark cannot exceed, in its own items (rows, normals) a second.
struct Ceiling {
  std::string name;
  double items_per_second = 0;  // 0: not known on this machine
};

inline Ceiling memory_ceiling(double bytes_per_item) {
  return {"memory writes", memory().best() / bytes_per_item};
}
inline Ceiling fma_ceiling(double flops_per_item) {
  return {"fused multiply-adds", fma_flops() / flops_per_item};
}
// Of box_muller in kernels/common/math.h for one normal (fused counts two).
inline constexpr double kFlopsPerNormal = 28;

inline Ceiling disk_ceiling(double bytes_per_item) {
  return {"disk writes", disk_write() / bytes_per_item};
}

// The counter "%ceiling": what share of the lowest ceiling an iteration of `items` attains; the label names that
// ceiling.
inline void set_ceiling(benchmark::State& state, double items, const std::vector<Ceiling>& ceilings) {
  const Ceiling* lowest = nullptr;
  for (const Ceiling& ceiling : ceilings)
    if (ceiling.items_per_second > 0 && (lowest == nullptr || ceiling.items_per_second < lowest->items_per_second))
      lowest = &ceiling;
  if (lowest == nullptr) return;
  state.counters["%ceiling"] = rate(100 * items / lowest->items_per_second);
  char label[100];
  std::snprintf(label, sizeof label, "of %s (%.4g M/s)", lowest->name.c_str(), lowest->items_per_second * 1e-6);
  state.SetLabel(label);
}

// A line with the ceilings; `with_disk` measures the disk, too.
inline void print_ceilings(bool with_disk) {
  std::printf(
      "Ceilings of one core: memory writes %.1f GB/s plain, %.1f GB/s streamed; fused multiply-add %.0f GFLOP/s",
      memory().plain * 1e-9, memory().streamed * 1e-9, fma_flops() * 1e-9);
  if (with_disk) std::printf("; disk writes with fsync %.2f GB/s (%s)", disk_write() * 1e-9, bench_folder().c_str());
  std::printf("\n");
}

// main of a program of benchmarks: `add` registers them.
inline int run_benchmarks(int argc, char** argv, bool with_disk, void (*add)()) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  print_ceilings(with_disk);
  add();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace doppel::roofline
