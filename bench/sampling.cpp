// The table sampler, one thread, into buffers of one batch: 20 columns of one kind from 20 components, a mixed table,
// and mixtures shaped as those of adult and life expectancy, each beside the PCA of as many columns.
//   build/release/bench/bench_sampling --benchmark_filter=float32
//   build/release/bench/bench_sampling --benchmark_filter='(adult|life).*AVX2'
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

ColumnSampler gaps(ColumnSampler column) {
  column.missing_latent = (column.latent + 1) % kColumns;
  column.missing_threshold = -1.5f;
  return column;
}

// `columns` columns of the kinds in turn, each of its own latent.
TableSampler table_of(const std::vector<ColumnSampler>& kinds, bool residuals, int32_t columns = kColumns,
                      int32_t components = kComponents) {
  TableSampler sampler;
  sampler.latents = columns;
  sampler.components = components;
  for (int i = 0; i < columns * components; ++i)
    sampler.factor.push_back(0.05f * static_cast<float>(i % 7 - 3) + 0.01f);
  sampler.residual.assign(static_cast<size_t>(columns), residuals ? 0.5f : 0.0f);
  for (int32_t c = 0; c < columns; ++c) {
    sampler.columns.push_back(kinds[static_cast<size_t>(c) % kinds.size()]);
    sampler.columns.back().latent = c;
  }
  return sampler;
}

void sample(benchmark::State& state, const TableSampler& sampler, const Sampler& who) {
  const auto prepared = who.prepare(sampler);
  const int64_t batch_rows = who.batch_rows;
  const size_t columns = sampler.columns.size();
  const roofline::TouchedMemory memory(static_cast<size_t>(batch_rows) * columns * 9);
  std::byte* next = memory.data();
  std::vector<ColumnBuffer> buffers;
  double bytes_per_row = 0;
  for (const ColumnSampler& column : sampler.columns) {
    const size_t bytes = bytes_per_value(column.storage);
    bytes_per_row += static_cast<double>(bytes) + (column.can_be_missing() ? 0.125 : 0);
    buffers.push_back({next, nullptr});
    next += bytes * batch_rows;
    if (!column.can_be_missing()) continue;
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
  state.counters["values/s"] = roofline::rate(rows * static_cast<double>(columns));
  state.counters["bytes/s"] = roofline::rate(rows * bytes_per_row);
  state.counters["ns/row"] =
      benchmark::Counter(rows * 1e-9, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
  if (who.on_device) return;  // the host's ceilings are not the device's
  // The normals' operations and the product's; what columns do besides is not counted.
  const double normals = roofline::kFlopsPerNormal * 4 * prepare_table(sampler).blocks;
  const double product = 2.0 * sampler.latents * sampler.components;
  roofline::set_ceiling(state, rows,
                        {roofline::memory_ceiling(bytes_per_row), roofline::fma_ceiling(product + normals)});
}

std::vector<std::pair<std::string, TableSampler>> tables() {
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

// ---- mixtures

// Appends a node: so many states from `first` on with equal probability, but for a tenth that is drawn above.
void add_node(Emission& emission, int32_t first, int32_t seen, int32_t above) {
  const int32_t ups = above < 0 ? 0 : seen / 10 + 1;  // entries that go up in part
  for (int32_t i = 0; i < seen; ++i) {
    const bool up = i < ups;
    const double below = up ? 1 - 0.1 * seen / ups : 1;
    emission.table.threshold.push_back(static_cast<uint32_t>(below * 0xFFFFFFFFu));
    emission.table.below.push_back((first + i) % emission.states);
    emission.table.above.push_back(up ? Emission::kAbove : (first + i) % emission.states);
  }
  emission.above.push_back(above);
  emission.first.push_back(static_cast<int64_t>(emission.table.threshold.size()));
}

// A variable of which each member has seen few states and shares the rest.
Emission shared_emission(int32_t members, int32_t states) {
  Emission emission;
  emission.states = states;
  emission.first = {0};
  const int32_t seen = std::min(states, 2 + states / 8);
  for (int32_t member = 0; member < members; ++member) add_node(emission, member * 7, seen, members);
  add_node(emission, 0, states, -1);
  return emission;
}

// Members with triangular factors over the columns that have latents, drawn evenly. `latents` columns from the first on
// have one; a column's variable is the one of its number, `states` of them, 0: none.
TableSampler mixture_of(std::vector<ColumnSampler> columns, int32_t latents, const std::vector<int32_t>& states,
                        StateRole last_role, int32_t members) {
  TableSampler sampler;
  sampler.members = members;
  sampler.latents = sampler.components = latents;
  for (int32_t i = 0; i < members * latents; ++i) {
    sampler.mean.push_back(0.1f * static_cast<float>(i % 17 - 8));
    sampler.residual.push_back(0);
    for (int32_t k = 0; k < latents; ++k)
      sampler.factor.push_back(k > i % latents ? 0.0f : 0.05f * static_cast<float>((i + k) % 7 - 3) + 0.01f);
  }
  for (int32_t member = 0; member < members; ++member) {
    sampler.member.threshold.push_back(1u << 31);
    sampler.member.below.push_back(member);
    sampler.member.above.push_back((member * 31 + 7) % members);
  }
  for (size_t c = 0; c < columns.size(); ++c) {
    ColumnSampler& column = columns[c];
    const bool has_latent = c < static_cast<size_t>(latents);
    column.latent = has_latent ? static_cast<int32_t>(c) : 0;
    column.missing_latent = -1;
    if (!has_latent) column = ColumnSampler{};
    if (states[c] == 0) {
      sampler.columns.push_back(column);
      continue;
    }
    column.emission = static_cast<int32_t>(sampler.emissions.size());
    sampler.emissions.push_back(shared_emission(members, states[c]));
    for (int32_t state = 0; state < states[c]; ++state) {
      const bool is_latent = has_latent && state == 0, is_last = state + 1 == states[c];
      column.state_role.push_back(is_latent               ? StateRole::kLatent
                                  : has_latent && is_last ? last_role
                                                          : StateRole::kValue);
      const bool is_value = column.state_role.back() == StateRole::kValue;
      (is_integer(column.storage) ? column.state_integer.push_back(is_value ? state : 0)
                                  : column.state_real.push_back(is_value ? state : 0));
    }
    sampler.columns.push_back(column);
  }
  return sampler;
}

std::vector<std::pair<std::string, TableSampler>> mixtures() {
  std::vector<std::pair<std::string, TableSampler>> all;
  const auto whole = [](int segments, bool atoms) { return segments_column(Storage::kInt32, segments, atoms); };
  // Adult: six numbers (two of them with atoms), nine categories.
  const std::vector<ColumnSampler> adult = {whole(73, true), whole(1000, false), whole(120, true), whole(93, true),
                                            whole(95, true), whole(16, true),    whole(9, true),   whole(16, true),
                                            whole(7, true),  whole(15, true),    whole(6, true),   whole(5, true),
                                            whole(2, true),  whole(42, true),    whole(2, true)};
  const std::vector<int32_t> adult_states = {0, 0, 120, 93, 40, 0, 9, 16, 7, 15, 6, 5, 2, 42, 2};
  // Life expectancy: twenty numbers with gaps, two categories.
  std::vector<ColumnSampler> life(20, gaps(segments_column(Storage::kFloat32, 400, false)));
  std::vector<int32_t> life_states(20, 2);
  for (int32_t states : {183, 2}) {
    life.push_back(whole(states, true));
    life_states.push_back(states);
  }
  all.emplace_back("adult/pca", table_of(adult, false, 15, 15));
  all.emplace_back("life/pca", table_of(life, false, 22, 22));
  for (int32_t members : {1, 10, 100, 1000}) {
    const std::string name = "mixture/" + std::to_string(members);
    all.emplace_back("adult/" + name, mixture_of(adult, 6, adult_states, StateRole::kValue, members));
    all.emplace_back("life/" + name, mixture_of(life, 20, life_states, StateRole::kMissing, members));
  }
  return all;
}

void add_benchmarks() {
  std::vector<std::pair<std::string, TableSampler>> all = tables();
  for (auto& mixture : mixtures()) all.push_back(std::move(mixture));
  for (const Sampler& who : samplers())
    for (const auto& [name, sampler] : all)
      benchmark::RegisterBenchmark((name + "/" + who.name).c_str(),
                                   [sampler = sampler, who](benchmark::State& state) { sample(state, sampler, who); });
}

}  // namespace
}  // namespace doppel

int main(int argc, char** argv) {
  return doppel::roofline::run_benchmarks(argc, argv, false, doppel::add_benchmarks);
}
