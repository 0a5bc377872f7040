// The table sampler, one thread, into buffers of one batch: 20 columns of one kind from 20 components, and a mixed
// table.
//   build/release/bench/bench_sampling --benchmark_filter=float32
#include <benchmark/benchmark.h>

#include <cmath>
#include <functional>

#include "bench/roofline.h"
#include "kernels/backend.h"
#include "kernels/cpu/sample_table.h"
#include "kernels/cuda/cuda_backend.h"

namespace doppel {
namespace {

constexpr int32_t kColumns = 20, kComponents = 20;

// Who samples: an instruction set of this machine, or a CUDA device (values in host memory, so copies included).
struct Sampler {
  std::string name;
  int64_t batch_rows;
  bool on_device;
  std::function<std::unique_ptr<PreparedTableSampler>(const TableSampler&)> prepare;
};

std::vector<Sampler> samplers() {
  std::vector<Sampler> all;
  for (const InstructionSet& instructions : instruction_sets())
    all.push_back({instructions.name, 1 << 16, false, [&instructions](const TableSampler& sampler) {
                     return prepare_cpu_table_sampler(sampler, instructions);
                   }});
  if (cuda_devices() == 0) return all;
  const std::shared_ptr<Backend> cuda = make_backend("cuda");
  all.push_back(
      {"cuda", 1 << 21, true, [cuda](const TableSampler& sampler) { return cuda->prepare_table_sampler(sampler); }});
  return all;
}

// Inverse of the normal distribution function by bisection: only to cut the score axis.
double quantile(double probability) {
  double low = -6, high = 6;
  for (int i = 0; i < 60; ++i)
    (std::erfc(-(low + high) / 2 * std::sqrt(0.5)) / 2 < probability ? low : high) = (low + high) / 2;
  return low;
}

// Segments of equal probability: atoms (categories, small integers), or intervals with a slope.
ColumnSampler segments_column(Storage storage, int segments, bool atoms) {
  ColumnSampler column;
  column.storage = storage;
  for (int s = 0; s < segments; ++s) {
    const float lower = s == 0 ? -kScoreLimit : static_cast<float>(quantile(double(s) / segments));
    const double length = (s + 1 < segments ? quantile(double(s + 1) / segments) : kScoreLimit) - lower;
    column.lower.push_back(lower);
    column.base.push_back(s * 100);
    column.width.push_back(atoms ? 1 : 100);
    column.scale.push_back(static_cast<double>(column.width.back()) / length);
    column.real_base.push_back(s * 0.5);
    column.real_top.push_back(s * 0.5 + (atoms ? 0 : 0.5));
    column.real_slope.push_back(atoms ? 0 : 0.5 / length);
  }
  return column;
}

ColumnSampler linear_column(Storage storage) {
  ColumnSampler column;
  column.storage = storage;
  column.transform = Transform::kLinear;
  column.mean = 3;
  column.deviation = 2;
  column.minimum = -100;
  column.maximum = 100;
  return column;
}

TableSampler table_of(const std::vector<ColumnSampler>& kinds, bool residuals) {
  TableSampler sampler;
  sampler.latents = kColumns;
  sampler.components = kComponents;
  for (int i = 0; i < kColumns * kComponents; ++i)
    sampler.factor.push_back(0.05f * static_cast<float>(i % 7 - 3) + 0.01f);
  sampler.residual.assign(kColumns, residuals ? 0.5f : 0.0f);
  for (int32_t c = 0; c < kColumns; ++c) {
    sampler.columns.push_back(kinds[static_cast<size_t>(c) % kinds.size()]);
    sampler.columns.back().latent = c;
  }
  return sampler;
}

void sample(benchmark::State& state, const TableSampler& sampler, const Sampler& who) {
  const auto prepared = who.prepare(sampler);
  const int64_t batch_rows = who.batch_rows;
  const roofline::TouchedMemory memory(static_cast<size_t>(batch_rows) * kColumns * 9);
  std::byte* next = memory.data();
  std::vector<ColumnBuffer> buffers;
  double bytes_per_row = 0;
  for (const ColumnSampler& column : sampler.columns) {
    const size_t bytes = bytes_per_value(column.storage);
    bytes_per_row += static_cast<double>(bytes) + (column.missing_latent >= 0 ? 0.125 : 0);
    buffers.push_back({next, nullptr});
    next += bytes * batch_rows;
    if (column.missing_latent < 0) continue;
    buffers.back().validity = reinterpret_cast<uint8_t*>(next);
    next += batch_rows / 8;
  }
  uint64_t row = 0;
  for (auto _ : state) {
    prepared->sample(1, row, batch_rows, buffers);
    benchmark::ClobberMemory();
    row += batch_rows;
  }
  const auto rows = static_cast<double>(batch_rows);
  state.counters["rows/s"] = roofline::rate(rows);
  state.counters["values/s"] = roofline::rate(rows * kColumns);
  state.counters["bytes/s"] = roofline::rate(rows * bytes_per_row);
  state.counters["ns/row"] =
      benchmark::Counter(rows * 1e-9, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
  if (who.on_device) return;  // the host's ceilings are not the device's
  // The normals' operations and the product's; what columns do besides is not counted.
  const double normals = roofline::kFlopsPerNormal * 4 * prepare_table(sampler).blocks;
  roofline::set_ceiling(
      state, rows,
      {roofline::memory_ceiling(bytes_per_row), roofline::fma_ceiling(2.0 * kColumns * kComponents + normals)});
}

std::vector<std::pair<std::string, TableSampler>> tables() {
  const auto gaps = [](ColumnSampler column) {
    column.missing_latent = (column.latent + 1) % kColumns;
    column.missing_threshold = -1.5f;
    return column;
  };
  std::vector<std::pair<std::string, TableSampler>> all;
  const auto add = [&](const std::string& name, const ColumnSampler& column) {
    all.push_back({name, table_of({column}, false)});
  };
  add("linear/float32", linear_column(Storage::kFloat32));
  all.push_back({"linear/float32/residuals", table_of({linear_column(Storage::kFloat32)}, true)});
  all.push_back({"linear/float32/gaps", table_of({gaps(linear_column(Storage::kFloat32))}, false)});
  add("linear/float64", linear_column(Storage::kFloat64));
  add("linear/int32", linear_column(Storage::kInt32));
  add("linear/int64", linear_column(Storage::kInt64));
  for (int segments : {2, 8, 16, 42, 256, 1000, 4000}) {
    const std::string count = std::to_string(segments);
    add("atoms/int32/" + count, segments_column(Storage::kInt32, segments, true));
    add("segments/int32/" + count, segments_column(Storage::kInt32, segments, false));
    add("segments/float32/" + count, segments_column(Storage::kFloat32, segments, false));
  }
  add("segments/int64/256", segments_column(Storage::kInt64, 256, false));
  add("segments/float64/256", segments_column(Storage::kFloat64, 256, false));
  const Storage narrow = Storage::kInt32;
  all.push_back({"mixed", table_of({segments_column(narrow, 73, true), segments_column(narrow, 9, true),
                                    segments_column(narrow, 1000, false), segments_column(narrow, 16, true),
                                    segments_column(narrow, 7, true), segments_column(narrow, 15, true),
                                    segments_column(narrow, 6, true), segments_column(narrow, 5, true),
                                    segments_column(narrow, 2, true), segments_column(Storage::kFloat32, 300, false)},
                                   true)});
  return all;
}

void add_benchmarks() {
  for (const Sampler& who : samplers())
    for (const auto& [name, sampler] : tables())
      benchmark::RegisterBenchmark((name + "/" + who.name).c_str(),
                                   [sampler = sampler, who](benchmark::State& state) { sample(state, sampler, who); });
}

}  // namespace
}  // namespace doppel

int main(int argc, char** argv) {
  return doppel::roofline::run_benchmarks(argc, argv, false, doppel::add_benchmarks);
}
