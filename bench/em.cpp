// One iteration of expectation maximisation of a mixture on a real table, one thread, beside the matrix products in it:
// an iteration that is nothing but BLAS would take their time.
//   build/release/bench/bench_em
// BENCH_TABLE names the table (default: ../shared/data/adult_train.csv.gz).
//
// The products, in blocks of kBlockRows rows, single precision, for N rows, M members, A axes (H of them present in a
// row), S states of all variables together:
//   whitening   [N, H + 1] x [H + 1, M A]      2 N M A (H + 1)          the latents under each member: whitened, or the
//                                                                      conditional mean where absent
//   density     [N, S] x [S, M]                2 N M S                  log emissions of the rows' states (one-hot)
//   moments     [M, N] x [N, (A+1)(A+2)/2]     N M (A + 1) (A + 2)      weights, sums and products of latents
//   counts      [S, N] x [N, M]                2 N M S                  responsibilities by state
// The learner looks states up instead of multiplying by zeros, and sums over the members that matter to a row; so both
// are shown: `of_products`, the iteration's time over that of all four products, and `of_latents`, over that of
// whitening and moments alone. The latter is no bound where states, not latents, are the work: adult has two latents.
// `GFLOP/s` are the products' operations in the iteration's time; `%ceiling` is their share of what a square product
// attains. em/N/cuda is an iteration on a CUDA device where there is one, in time that passes, with the maximisation on
// the host.
#include <benchmark/benchmark.h>
#include <cblas.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "bench/roofline.h"
#include "engine/models/mixture/mixture_learner.h"
#include "engine/models/mixture/mixture_patterns.h"
#include "engine/models/mixture/mixture_start.h"
#include "engine/table/profile.h"
#include "host/readers/reader.h"
#include "kernels/backend.h"
#include "kernels/cuda/cuda_backend.h"

namespace doppel {
namespace {

constexpr int64_t kBlockRows = 4096;
constexpr int kTries = 5;

void multiply(CBLAS_TRANSPOSE transpose_a, int64_t m, int64_t n, int64_t k, const std::vector<float>& a,
              const std::vector<float>& b, std::vector<float>& c) {
  const auto a_stride = static_cast<int>(transpose_a == CblasTrans ? m : k);
  cblas_sgemm(CblasRowMajor, transpose_a, CblasNoTrans, static_cast<int>(m), static_cast<int>(n), static_cast<int>(k),
              1.0f, a.data(), a_stride, b.data(), static_cast<int>(n), 0.0f, c.data(), static_cast<int>(n));
}

// Operations a second of a product of square matrices.
double product_flops() {
  static const double ceiling = [] {
    constexpr int64_t kSize = 1024;
    const std::vector<float> a(kSize * kSize, 0.5f), b(kSize * kSize, 0.25f);
    std::vector<float> c(kSize * kSize);
    return 2.0 * kSize * kSize * kSize / roofline::best_seconds(CLOCK_THREAD_CPUTIME_ID, kTries, [&] {
             multiply(CblasNoTrans, kSize, kSize, kSize, a, b, c);
           });
  }();
  return ceiling;
}

struct Product {
  CBLAS_TRANSPOSE transpose_a;
  int64_t m, n, k;
  double flops() const { return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k); }
};

struct Products {
  double seconds = 0, flops = 0;
  Products operator+(const Products& other) const { return {seconds + other.seconds, flops + other.flops}; }
};

Products measure(const std::vector<Product>& products) {
  size_t of_a = 0, of_b = 0, of_c = 0;
  Products result;
  for (const Product& p : products) {
    of_a = std::max(of_a, static_cast<size_t>(p.m * p.k));
    of_b = std::max(of_b, static_cast<size_t>(p.k * p.n));
    of_c = std::max(of_c, static_cast<size_t>(p.m * p.n));
    result.flops += p.flops();
  }
  const std::vector<float> a(of_a, 0.5f), b(of_b, 0.25f);
  std::vector<float> c(of_c);
  result.seconds = roofline::best_seconds(CLOCK_THREAD_CPUTIME_ID, kTries, [&] {
    for (const Product& p : products) multiply(p.transpose_a, p.m, p.n, p.k, a, b, c);
    benchmark::DoNotOptimize(c.data());
  });
  return result;
}

// The table's rows as a mixture sees them, in memory.
struct Table {
  MixtureSpace space;
  RowsByPattern rows;
  std::vector<std::vector<double>> shares;
  int64_t states = 0;
};

Table read(const std::string& path) {
  constexpr int64_t kResidentBytes = int64_t{1} << 30;
  const auto source = open_table(path);
  const TableProfile profile = profile_table(*source, {});
  const auto cpu = make_backend("cpu");
  RowBlocks blocks(*source, profile, 1 << 13, kResidentBytes, *cpu, {});
  Table table;
  table.space = make_mixture_space(profile, blocks);
  RowCollector collector(table.space, 0);
  blocks.for_each([&](const EncodedRows& block) {
    for (int64_t row = 0; row < block.rows; ++row) collector.add(block, row);
  });
  RowsByPattern rows = collector.take();
  table.rows = PatternLimit(rows, table.space.axes.size(), 0).apply(std::move(rows));
  for (size_t v = 0; v < table.space.variables.size(); ++v) {
    std::vector<double>& of_states = table.shares.emplace_back();
    for (const int64_t count : count_states(table.space, table.rows, v))
      of_states.push_back((static_cast<double>(count) + 0.01) / static_cast<double>(count_rows(table.rows)));
    table.states += table.space.variables[v].states;
  }
  return table;
}

// Calls with the rows of each block.
template <class Consume>
void for_blocks(int64_t rows, Consume consume) {
  for (int64_t first = 0; first < rows; first += kBlockRows) consume(std::min(kBlockRows, rows - first));
}

std::vector<Product> products_of_latents(const Table& table, int64_t members) {
  const auto axes = static_cast<int64_t>(table.space.axes.size());
  std::vector<Product> products;
  for (const RowsOfPattern& pattern : table.rows)
    for_blocks(pattern.rows, [&](int64_t rows) {
      const auto here = static_cast<int64_t>(pattern.present.size());
      products.push_back({CblasNoTrans, rows, members * axes, here + 1});
      products.push_back({CblasTrans, members, (axes + 1) * (axes + 2) / 2, rows});
    });
  return products;
}

std::vector<Product> products_of_states(const Table& table, int64_t members) {
  std::vector<Product> products;
  for_blocks(count_rows(table.rows), [&](int64_t rows) {
    products.push_back({CblasNoTrans, rows, members, table.states});
    products.push_back({CblasTrans, table.states, members, rows});
  });
  return products;
}

// EM from k-means, so that rows are as sure of their members as in a fit.
void iterate(benchmark::State& state, const Table& table, int64_t members, const Backend& backend, bool is_on_device) {
  constexpr int kWarmUp = 5;
  constexpr int64_t kMembersPerGroup = 8;
  const int64_t groups = std::max<int64_t>(1, members / kMembersPerGroup);
  MixtureLearner learner(table.space, backend, {}, table.shares,
                         pooled_covariance(table.rows, table.space.axes.size()));
  const PreparedRows rows = learner.prepare(table.rows);
  const MixtureStart start = MixtureStarter(table.space, table.rows).start(members, groups, 0);
  auto parameters = std::make_shared<const MixtureParameters>(
      learner.maximise(learner.count(rows, start.member, members), start.group, groups));
  const auto step = [&] {
    learner.set(parameters);
    parameters =
        std::make_shared<const MixtureParameters>(learner.maximise(learner.expect(rows), parameters->group, groups));
  };
  for (int i = 0; i < kWarmUp; ++i) step();
  for (auto _ : state) step();

  const double step_seconds =
      roofline::best_seconds(is_on_device ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, kTries, step);
  state.counters["rows/s"] = static_cast<double>(count_rows(table.rows)) / step_seconds;
  state.counters["step_ms"] = 1e3 * step_seconds;
  if (is_on_device) return;
  const Products latents = measure(products_of_latents(table, members));
  const Products all = latents + measure(products_of_states(table, members));
  state.counters["products_ms"] = 1e3 * all.seconds;
  state.counters["latents_ms"] = 1e3 * latents.seconds;
  state.counters["of_products"] = step_seconds / all.seconds;
  state.counters["of_latents"] = step_seconds / latents.seconds;
  state.counters["GFLOP/s"] = 1e-9 * all.flops / step_seconds;
  state.counters["%ceiling"] = 100 * all.flops / step_seconds / product_flops();
}

int run(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  openblas_set_num_threads(1);
  const char* path = std::getenv("BENCH_TABLE");
  const Table table = read(path != nullptr ? path : "../shared/data/adult_train.csv.gz");
  std::printf("%lld rows in %zu patterns, %zu variables of %lld states, %zu latents; square product %.0f GFLOP/s\n",
              static_cast<long long>(count_rows(table.rows)), table.rows.size(), table.space.variables.size(),
              static_cast<long long>(table.states), table.space.axes.size(), 1e-9 * product_flops());
  std::vector<std::string> names{"cpu"};
  if (cuda_devices() > 0) names.push_back("cuda");
  for (const std::string& name : names) {
    const std::shared_ptr<const Backend> backend = make_backend(name);
    const bool is_on_device = name != "cpu";
    for (const int64_t members : {128, 512})
      benchmark::RegisterBenchmark(("em/" + std::to_string(members) + (is_on_device ? "/cuda" : "")).c_str(),
                                   [&table, members, backend, is_on_device](benchmark::State& state) {
                                     iterate(state, table, members, *backend, is_on_device);
                                   })
          ->Unit(benchmark::kMillisecond);
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace doppel

int main(int argc, char** argv) {
  try {
    return doppel::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_em: %s\n", error.what());
    return 1;
  }
}
