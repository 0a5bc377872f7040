// The table sampler, one thread, into buffers of one batch: 20 columns of one kind from 20 components, a mixed table,
// and mixtures shaped as those of adult and life expectancy, each beside the PCA of as many columns. And the table
// decoder, shaped as adult's VAE.
//   build/release/bench/bench_sampling --benchmark_filter=float32
//   build/release/bench/bench_sampling --benchmark_filter='(adult|life).*AVX2'
//   build/release/bench/bench_sampling --benchmark_filter=vae
#include <benchmark/benchmark.h>

#include <cmath>
#include <functional>

#include "bench/roofline.h"
#include "kernels/backend.h"
#include "kernels/cpu/decode_table.h"
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
  std::function<std::unique_ptr<PreparedTableSampler>(const TableDecoder&)> prepare_decoder;
};

std::vector<Sampler> samplers() {
  std::vector<Sampler> all;
  for (const InstructionSet& instructions : instruction_sets())
    all.push_back(
        {instructions.name, 1 << 16, false,
         [&instructions](const TableSampler& sampler) { return prepare_cpu_table_sampler(sampler, instructions); },
         [&instructions](const TableDecoder& decoder) { return prepare_table_decoder_on_cpu(decoder, instructions); }});
  if (cuda_devices() == 0) return all;
  const std::shared_ptr<Backend> cuda = make_backend("cuda");
  all.push_back({"cuda", 1 << 21, true,
                 [cuda](const TableSampler& sampler) { return cuda->prepare_table_sampler(sampler); },
                 [cuda](const TableDecoder& decoder) { return cuda->prepare_table_decoder(decoder); }});
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

// Latents without columns.
TableSampler pca_of(int32_t latents, int32_t components, float residual) {
  TableSampler sampler;
  sampler.latents = latents;
  sampler.components = components;
  for (int i = 0; i < latents * components; ++i)
    sampler.factor.push_back(0.05f * static_cast<float>(i % 7 - 3) + 0.01f);
  sampler.residual.assign(static_cast<size_t>(latents), residual);
  return sampler;
}

TableSampler table_of(const std::vector<ColumnSampler>& kinds, bool residuals) {
  TableSampler sampler = pca_of(kColumns, kComponents, residuals ? 0.5f : 0.0f);
  for (int32_t c = 0; c < kColumns; ++c) {
    sampler.columns.push_back(kinds[static_cast<size_t>(c) % kinds.size()]);
    sampler.columns.back().latent = c;
  }
  return sampler;
}

// `flops`: of a row, but for what columns take.
void measure(benchmark::State& state, PreparedTableSampler& prepared, const TableSampler& sampler, int64_t batch_rows,
             bool on_device, double flops) {
  const size_t columns = sampler.columns.size();
  const size_t bytes = static_cast<size_t>(batch_rows) * columns * 9;
  const roofline::TouchedMemory touched(on_device ? 1 : bytes);
  const HostMemory pinned = prepared.allocate(on_device ? bytes : 1);
  std::byte* next = on_device ? pinned.get() : touched.data();
  std::vector<ColumnBuffer> buffers;
  double bytes_per_row = 0;
  for (const ColumnSampler& column : sampler.columns) {
    const size_t size = bytes_per_value(column.storage);
    bytes_per_row += static_cast<double>(size) + (column.can_be_missing() ? 0.125 : 0);
    buffers.push_back({next, nullptr});
    next += size * batch_rows;
    if (!column.can_be_missing()) continue;
    buffers.back().validity = reinterpret_cast<uint8_t*>(next);
    next += batch_rows / 8;
  }
  uint64_t row = 0;
  for (auto _ : state) {
    prepared.sample(1, row, batch_rows, buffers);
    benchmark::ClobberMemory();
    row += batch_rows;
  }
  const auto rows = static_cast<double>(batch_rows);
  state.counters["rows/s"] = roofline::rate(rows);
  state.counters["values/s"] = roofline::rate(rows * static_cast<double>(columns));
  state.counters["bytes/s"] = roofline::rate(rows * bytes_per_row);
  state.counters["ns/row"] =
      benchmark::Counter(rows * 1e-9, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
  state.counters["flop/s"] = roofline::rate(rows * flops);
  if (on_device) return;  // the host's ceilings are not the device's
  roofline::set_ceiling(state, rows, {roofline::memory_ceiling(bytes_per_row), roofline::fma_ceiling(flops)});
}

// The normals' operations and the product's.
double flops_of_scores(const TableSampler& sampler) {
  return roofline::kFlopsPerNormal * 4 * prepare_table(sampler).blocks + 2.0 * sampler.latents * sampler.components;
}

void sample(benchmark::State& state, const TableSampler& sampler, const Sampler& who) {
  measure(state, *who.prepare(sampler), sampler, who.batch_rows, who.on_device, flops_of_scores(sampler));
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

// A column of a real table, as both models see it: a PCA makes it of a latent, and its gaps of another; a mixture of a
// variable, or of a variable and a latent.
struct TableColumn {
  ColumnSampler transform;
  bool has_gaps = false;
  bool has_latent = false;  // in the mixture
  int32_t states = 0;       // in the mixture, 0: no variable
};

TableSampler pca_of(const std::vector<TableColumn>& columns, int32_t components) {
  const auto gaps = std::count_if(columns.begin(), columns.end(), [](const TableColumn& c) { return c.has_gaps; });
  const auto own = static_cast<int32_t>(columns.size());
  TableSampler sampler = pca_of(own + static_cast<int32_t>(gaps), components, 0);
  for (int32_t next_gap = own; const TableColumn& from : columns) {
    ColumnSampler& column = sampler.columns.emplace_back(from.transform);
    column.latent = static_cast<int32_t>(sampler.columns.size()) - 1;
    if (!from.has_gaps) continue;
    column.missing_latent = next_gap++;
    column.missing_threshold = -1.5f;
  }
  return sampler;
}

// The states of a column: the latent's values first, gaps last.
void add_states(const TableColumn& from, ColumnSampler& column) {
  for (int32_t state = 0; state < from.states; ++state) {
    StateRole role = StateRole::kValue;
    if (from.has_gaps && state + 1 == from.states) role = StateRole::kMissing;
    if (from.has_latent && state == 0) role = StateRole::kLatent;
    column.state_role.push_back(role);
    column.state_integer.push_back(role == StateRole::kValue ? state : 0);
  }
}

// Members drawn evenly, with triangular factors.
TableSampler mixture_of(const std::vector<TableColumn>& columns, int32_t members) {
  TableSampler sampler;
  sampler.members = members;
  for (const TableColumn& from : columns) {
    ColumnSampler& column = sampler.columns.emplace_back();
    if (from.has_latent) column = from.transform;
    if (from.has_latent) column.latent = sampler.latents++;
    if (from.states == 0) continue;
    column.emission = static_cast<int32_t>(sampler.emissions.size());
    sampler.emissions.push_back(shared_emission(members, from.states));
    add_states(from, column);
  }
  sampler.components = sampler.latents;
  for (int32_t i = 0; i < members * sampler.latents; ++i) {
    const int32_t latent = i % sampler.latents;
    sampler.mean.push_back(0.1f * static_cast<float>(i % 17 - 8));
    sampler.residual.push_back(0);
    for (int32_t k = 0; k < sampler.components; ++k)
      sampler.factor.push_back(k > latent ? 0.0f : 0.05f * static_cast<float>((i + k) % 7 - 3) + 0.01f);
  }
  for (int32_t member = 0; member < members; ++member) {
    sampler.member.threshold.push_back(1u << 31);
    sampler.member.below.push_back(member);
    sampler.member.above.push_back((member * 31 + 7) % members);
  }
  return sampler;
}

ColumnSampler whole_numbers(int segments, bool atoms) {
  return segments_column(Storage::kInt32, segments, atoms);
}

// Adult: six numbers, four of them with atoms, and nine categories, three with gaps.
std::vector<TableColumn> adult_columns() {
  std::vector<TableColumn> columns = {
      {whole_numbers(73, true), false, true, 0},  {whole_numbers(574, false), false, true, 0},
      {whole_numbers(16, true), false, true, 16}, {whole_numbers(119, true), false, true, 119},
      {whole_numbers(92, true), false, true, 92}, {whole_numbers(94, true), false, true, 20}};
  for (int32_t levels : {8, 14, 41, 16, 7, 6, 5, 2, 2}) {
    const bool has_gaps = columns.size() < 9;
    columns.push_back({whole_numbers(levels, true), has_gaps, false, levels + has_gaps});
  }
  return columns;
}

// Life expectancy: twenty numbers, fourteen with gaps and four others with atoms, and two categories.
std::vector<TableColumn> life_columns() {
  std::vector<TableColumn> columns = {{whole_numbers(193, true), false, false, 193},
                                      {whole_numbers(2, true), false, false, 2}};
  for (int i = 0; i < 20; ++i)
    columns.push_back({whole_numbers(150 + 50 * (i % 5), false), i < 14, true, i < 14 ? 2 : i < 18 ? 4 : 0});
  return columns;
}

std::vector<std::pair<std::string, TableSampler>> mixtures() {
  std::vector<std::pair<std::string, TableSampler>> all;
  all.emplace_back("adult/pca", pca_of(adult_columns(), 15));
  all.emplace_back("life/pca", pca_of(life_columns(), 18));
  for (int32_t members : {10, 100, 1000}) {
    const std::string name = "/mixture/" + std::to_string(members);
    all.emplace_back("adult" + name, mixture_of(adult_columns(), members));
    all.emplace_back("life" + name, mixture_of(life_columns(), members));
  }
  return all;
}

// ---- decoders

DenseWeights dense_layer(int32_t inputs, int32_t outputs) {
  DenseWeights layer{inputs, outputs, {}, std::vector<float>(static_cast<size_t>(outputs), 0.1f)};
  for (int32_t i = 0; i < inputs * outputs; ++i) layer.weight.push_back(0.05f * static_cast<float>(i % 13 - 6));
  return layer;
}

// Adult's VAE: 16 latents, two hidden layers, a softmax a variable and 64 bins an axis.
TableDecoder adult_decoder() {
  constexpr int32_t kLatent = 16, kHidden = 256, kBins = 64, kMembers = 20;
  TableDecoder decoder;
  decoder.prior = mixture_of(std::vector<TableColumn>(kLatent, {ColumnSampler(), false, true, 0}), kMembers);
  decoder.prior.columns.clear();
  decoder.table = mixture_of(adult_columns(), 1);
  decoder.bins.assign(static_cast<size_t>(decoder.table.latents), kBins);
  int32_t outputs = kBins * decoder.table.latents;
  for (const Emission& emission : decoder.table.emissions) outputs += emission.states;
  decoder.layers = {dense_layer(kLatent, kHidden), dense_layer(kHidden, kHidden), dense_layer(kHidden, outputs)};
  return decoder;
}

void decode(benchmark::State& state, const TableDecoder& decoder, const Sampler& who) {
  double flops = flops_of_scores(decoder.prior);
  for (const DenseWeights& layer : decoder.layers) flops += 2.0 * layer.inputs * layer.outputs;
  constexpr int64_t kHostRows = 1 << 12;  // a row is a hundred times a table sampler's
  measure(state, *who.prepare_decoder(decoder), decoder.table, who.on_device ? who.batch_rows : kHostRows,
          who.on_device, flops);
}

void add_benchmarks() {
  std::vector<std::pair<std::string, TableSampler>> all = tables();
  for (auto& mixture : mixtures()) all.push_back(std::move(mixture));
  for (const Sampler& who : samplers()) {
    for (const auto& [name, sampler] : all)
      benchmark::RegisterBenchmark((name + "/" + who.name).c_str(),
                                   [sampler = sampler, who](benchmark::State& state) { sample(state, sampler, who); });
    benchmark::RegisterBenchmark(("adult/vae/" + who.name).c_str(),
                                 [who](benchmark::State& state) { decode(state, adult_decoder(), who); });
  }
}

}  // namespace
}  // namespace doppel

int main(int argc, char** argv) {
  return doppel::roofline::run_benchmarks(argc, argv, false, doppel::add_benchmarks);
}
