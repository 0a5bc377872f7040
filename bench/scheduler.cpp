// What the scheduler adds to sampling, encoding and writing: the same work in a plain loop, and scheduled, in one run.
// 20 float32 columns whose sampler is a copy of a prepared block, so that the machinery is what shows.
//   build/release/bench/bench_scheduler            (BENCH_FOLDER: where files go, default the temporary folder)
#include "host/scheduler.h"

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "host/output_folder.h"

namespace doppel {
namespace {

constexpr int kColumns = 20;
constexpr int64_t kRows = 16 << 20;

class CopyGenerator : public Generator {
 public:
  CopyGenerator() : block_(kBlock) {
    for (int index = 0; index < kColumns; ++index) {
      OutputColumn column;
      column.schema.name = "column" + std::to_string(index);
      column.schema.kind = ColumnKind::kReal;
      column.schema.source = SourceType::kFloat32;
      column.storage = Storage::kFloat32;
      schema_.columns.push_back(column);
    }
    for (int64_t i = 0; i < kBlock; ++i) block_[i] = static_cast<float>((i * 7919) % 10007) * 0.01f;
  }
  const OutputSchema& schema() const override { return schema_; }
  uint64_t seed() const override { return 0; }
  std::unique_ptr<RowSampler> make_sampler() const override { return std::make_unique<Sampler>(*this); }

 private:
  static constexpr int64_t kBlock = 1 << 14;
  struct Sampler : RowSampler {
    explicit Sampler(const CopyGenerator& owner) : generator(owner) {}
    void sample(uint64_t, int64_t rows, Batch& batch) override {
      for (size_t column = 0; column < batch.columns(); ++column) {
        auto* values = static_cast<float*>(batch.buffer(column).values);
        for (int64_t row = 0; row < rows; row += kBlock) {
          std::memcpy(values + row, generator.block_.data(), sizeof(float) * std::min(kBlock, rows - row));
        }
      }
    }
    const CopyGenerator& generator;
  };
  OutputSchema schema_;
  std::vector<float> block_;
};

JobPlan plan(const CopyGenerator& generator, const std::string& format, int threads) {
  JobOptions options;
  options.rows = kRows;
  options.threads = threads;
  options.format = &find_format(format);
  return plan_job(generator, options);
}

void count(benchmark::State& state, int64_t bytes) {
  state.counters["rows_per_s"] =
      benchmark::Counter(static_cast<double>(kRows), benchmark::Counter::kIsIterationInvariantRate);
  state.counters["bytes_per_s"] =
      benchmark::Counter(static_cast<double>(bytes), benchmark::Counter::kIsIterationInvariantRate);
}

void plain_loop(benchmark::State& state, const std::string& format) {
  const CopyGenerator generator;
  const JobPlan made = plan(generator, format, 1);
  const auto sampler = generator.make_sampler();
  const auto encoder = made.format->make(generator.schema(), {});
  Batch batch(generator.schema(), made.rows_per_batch);
  ByteBuffer bytes;
  int64_t total = 0;
  for (auto _ : state) {
    total = 0;
    for (int64_t row = 0; row < kRows; row += made.rows_per_batch) {
      batch.rows = std::min(made.rows_per_batch, kRows - row);
      sampler->sample(static_cast<uint64_t>(row), batch.rows, batch);
      bytes.clear();
      encoder->encode(batch, bytes);
      total += static_cast<int64_t>(bytes.size());
    }
  }
  count(state, total);
}

void scheduled(benchmark::State& state, const std::string& format) {
  const CopyGenerator generator;
  const JobPlan made = plan(generator, format, static_cast<int>(state.range(0)));
  JobResult result;
  for (auto _ : state) {
    NullSink sink;
    Progress progress(kRows, Progress::Style::kNone);
    result = run_job(generator, made, sink, progress);
  }
  count(state, result.bytes);
}

void to_folder(benchmark::State& state, const std::string& format) {
  const char* wanted = std::getenv("BENCH_FOLDER");
  const std::string parent = wanted ? wanted : std::filesystem::temp_directory_path().string();
  const std::string folder = parent + "/doppel-bench-scheduler";
  const CopyGenerator generator;
  const JobPlan made = plan(generator, format, static_cast<int>(state.range(0)));
  ManifestHead head;
  head.rows = kRows;
  head.rows_per_file = made.layout.rows_per_file;
  JobResult result;
  for (auto _ : state) {
    prepare_output_folder(folder, head, made.layout, made.files, IfExists::kOverwrite, false);
    ManifestWriter manifest(folder, head, {});
    FolderSink sink(folder, manifest);
    Progress progress(kRows, Progress::Style::kNone);
    result = run_job(generator, made, sink, progress);
  }
  count(state, result.bytes);
  state.counters["write_s"] = result.write_s;
  state.counters["wait_s"] = result.wait_s;
  std::filesystem::remove_all(folder);
}

void sampling(benchmark::State& state) {
  const CopyGenerator generator;
  for (auto _ : state) {
    Progress progress(kRows, Progress::Style::kNone);
    run_sampling(generator, 0, kRows, static_cast<int>(state.range(0)), progress);
  }
  count(state, 0);
}

BENCHMARK_CAPTURE(plain_loop, raw, "raw")->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(scheduled, raw, "raw")->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(plain_loop, csv, "csv")->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(scheduled, csv, "csv")->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(plain_loop, parquet, "parquet")->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(scheduled, parquet, "parquet")->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(to_folder, raw, "raw")->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond)->Iterations(2);
BENCHMARK_CAPTURE(to_folder, parquet, "parquet")->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond)->Iterations(2);
BENCHMARK(sampling)->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace doppel

BENCHMARK_MAIN();
