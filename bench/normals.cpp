// Standard normals of one thread: Philox4x32-10 and Box-Muller into a buffer that stays in the cache, on every
// instruction set of this machine.
//   build/release/bench/bench_normals
#include <benchmark/benchmark.h>

#include "bench/roofline.h"
#include "kernels/cpu/sample_table.h"

namespace doppel {
namespace {

void normals(benchmark::State& state, const InstructionSet& instructions) {
  constexpr int64_t kRows = 256;
  constexpr int32_t kBlocks = 5;
  std::vector<float> buffer(4 * kBlocks * kRows);
  uint64_t row = 0;
  for (auto _ : state) {
    instructions.normals(1, row, kRows, kBlocks, buffer.data());
    benchmark::DoNotOptimize(buffer.data());
    benchmark::ClobberMemory();
    row += kRows;
  }
  const auto count = static_cast<double>(buffer.size());
  state.counters["normals/s"] = roofline::rate(count);
  state.counters["bytes/s"] = roofline::rate(count * sizeof(float));
  roofline::set_ceiling(state, count,
                        {roofline::memory_ceiling(sizeof(float)), roofline::fma_ceiling(roofline::kFlopsPerNormal)});
}

void add_benchmarks() {
  for (const InstructionSet& instructions : instruction_sets())
    benchmark::RegisterBenchmark(("normals/" + instructions.name).c_str(),
                                 [&](benchmark::State& state) { normals(state, instructions); });
}

}  // namespace
}  // namespace doppel

int main(int argc, char** argv) {
  return doppel::roofline::run_benchmarks(argc, argv, false, doppel::add_benchmarks);
}
