// Two tables compared: a million rows of six columns of numbers and nine of categories beside as many, one thread, and
// on a CUDA device where there is one, in time that passes.
//   build/release/bench/bench_evaluation
// sort/... sorts ten million whole numbers; pairs/... counts the 105 pairs of the columns' codes, of which 8 bytes a
// row and pair come from memory or caches: %ceiling is their share of what memory takes of one core; quality/... is all
// that `doppel evaluate` calls shapes and trends.
#include "engine/evaluation/evaluation.h"

#include <benchmark/benchmark.h>

#include <cmath>
#include <random>

#include "bench/roofline.h"
#include "kernels/backend.h"
#include "kernels/cuda/cuda_backend.h"

namespace doppel {
namespace {

constexpr int64_t kRows = 1'000'000;
constexpr int kNumbers = 6, kCategories = 9, kLevels = 20;

TableSchema make_schema() {
  TableSchema schema;
  for (int c = 0; c < kNumbers + kCategories; ++c) {
    ColumnSchema& column = schema.columns.emplace_back();
    column.name = "column " + std::to_string(c);
    column.kind = c < kNumbers ? ColumnKind::kInteger : ColumnKind::kCategory;
    for (int level = 0; c >= kNumbers && level < kLevels; ++level) column.levels.push_back(std::to_string(level));
  }
  return schema;
}

Table make_table(uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::geometric_distribution<int32_t> level(0.3);
  Table table;
  table.rows = kRows;
  for (int c = 0; c < kNumbers + kCategories; ++c) {
    Column& column = table.columns.emplace_back();
    for (int64_t row = 0; row < kRows; ++row) {
      if (c < kNumbers)
        column.quanta.push_back(static_cast<int64_t>(std::pow(10.0, 1 + c) * normal(random)));
      else
        column.codes.push_back(std::min(level(random), kLevels - 1));
    }
  }
  return table;
}

void sort(benchmark::State& state, const Backend& backend) {
  std::mt19937_64 random(1);
  std::vector<int64_t> numbers(10'000'000), sorted;
  for (int64_t& number : numbers) number = static_cast<int64_t>(random());
  for (auto _ : state) {
    state.PauseTiming();
    sorted = numbers;
    state.ResumeTiming();
    backend.sort_ascending(sorted);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(numbers.size()));
}

void count_pairs(benchmark::State& state, const Backend& backend) {
  std::mt19937_64 random(1);
  std::geometric_distribution<int32_t> level(0.3);
  constexpr int kColumns = kNumbers + kCategories;
  std::vector<std::vector<int32_t>> codes(kColumns);
  CodedColumns columns{kRows, {}, std::vector<int32_t>(kColumns, kLevels)};
  std::vector<ColumnPair> pairs;
  for (int32_t c = 0; c < kColumns; ++c) {
    for (int64_t row = 0; row < kRows; ++row) codes[c].push_back(std::min(level(random), kLevels - 1));
    columns.codes.push_back(codes[c]);
    for (int32_t before = 0; before < c; ++before) pairs.push_back({before, c});
  }
  const auto prepared = backend.prepare_pair_counts(columns);
  prepared->count(pairs);  // whose codes then are where they are counted
  for (auto _ : state) benchmark::DoNotOptimize(prepared->count(pairs));
  const int64_t items = kRows * static_cast<int64_t>(pairs.size());
  state.SetItemsProcessed(state.iterations() * items);
  if (backend.description().starts_with("cpu"))
    roofline::set_ceiling(state, static_cast<double>(items), {roofline::memory_ceiling(2 * sizeof(int32_t))});
}

void score(benchmark::State& state, const Backend& backend) {
  static const TableSchema schema = make_schema();
  static const Table real = make_table(1), synthetic = make_table(2);
  for (auto _ : state) benchmark::DoNotOptimize(evaluate_quality(schema, real, synthetic, backend));
  state.SetItemsProcessed(state.iterations() * kRows);
}

void add_benchmarks() {
  std::vector<std::string> names{"cpu"};
  if (cuda_devices() > 0) names.push_back("cuda");
  for (const std::string& name : names) {
    const std::shared_ptr<const Backend> backend = make_backend(name);
    for (const auto& [what, measure] : {std::pair{"sort/", &sort}, {"pairs/", &count_pairs}, {"quality/", &score}})
      benchmark::RegisterBenchmark((what + name).c_str(),
                                   [backend, measure = measure](benchmark::State& state) { measure(state, *backend); })
          ->Unit(benchmark::kMillisecond)
          ->UseRealTime();
  }
}

}  // namespace
}  // namespace doppel

int main(int argc, char** argv) {
  return doppel::roofline::run_benchmarks(argc, argv, false, doppel::add_benchmarks);
}
