// What the scheduler adds to sampling, encoding and writing: the same work in a plain loop, and scheduled, in one run;
// and every format end to end into a folder, in percent of what the encoder alone, the disk alone or memory alone would
// do, whichever is lowest. 20 float32 columns whose sampler is a copy of a prepared block, so that the machinery is
// what shows.
//   build/release/bench/bench_scheduler            (BENCH_FOLDER: where files go, default the temporary folder)
#include "host/scheduler.h"

#include <benchmark/benchmark.h>

#include <cstring>
#include <filesystem>
#include <map>

#include "bench/roofline.h"
#include "host/output_folder.h"

namespace doppel {
namespace {

constexpr int kColumns = 20;
constexpr int64_t kRows = 4 << 20;

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

// Rows a second of one thread that encodes the same batch again and again.
double encoder_rows_per_second(const std::string& format) {
  static std::map<std::string, double> known;
  const auto found = known.find(format);
  if (found != known.end()) return found->second;
  const CopyGenerator generator;
  const JobPlan made = plan(generator, format, 1);
  const auto encoder = made.format->make(generator.schema(), {});
  Batch batch(generator.schema(), made.rows_per_batch);
  batch.rows = made.rows_per_batch;
  generator.make_sampler()->sample(0, batch.rows, batch);
  ByteBuffer bytes;
  const double seconds = roofline::best_seconds(CLOCK_THREAD_CPUTIME_ID, 5, [&] {
    bytes.clear();
    encoder->encode(batch, bytes);
  });
  return known[format] = static_cast<double>(batch.rows) / seconds;
}

// threads: that may encode at once, each with a core.
void count(benchmark::State& state, int64_t bytes, const std::string& format, int threads, bool to_disk) {
  state.counters["rows/s"] = roofline::rate(static_cast<double>(kRows));
  state.counters["bytes/s"] = roofline::rate(static_cast<double>(bytes));
  const double bytes_per_row = static_cast<double>(bytes) / kRows;
  std::vector<roofline::Ceiling> ceilings = {roofline::memory_ceiling(bytes_per_row),
                                             {"encoding", threads * encoder_rows_per_second(format)}};
  if (to_disk) ceilings.push_back(roofline::disk_ceiling(bytes_per_row));
  roofline::set_ceiling(state, static_cast<double>(kRows), ceilings);
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
  count(state, total, format, 1, false);
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
  count(state, result.bytes, format, static_cast<int>(state.range(0)), false);
}

void to_folder(benchmark::State& state, const std::string& format) {
  const std::string folder = roofline::bench_folder() + "/doppel-bench-scheduler";
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
  count(state, result.bytes, format, static_cast<int>(state.range(0)), true);
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
  state.counters["rows/s"] = roofline::rate(static_cast<double>(kRows));
}

void add(const std::string& name, const std::function<void(benchmark::State&)>& work,
         std::initializer_list<int> threads) {
  auto* benchmark = benchmark::RegisterBenchmark(name.c_str(), work);
  benchmark->UseRealTime()->Unit(benchmark::kMillisecond);
  for (int count : threads) benchmark->Arg(count);
}

void add_benchmarks() {
  for (const Format& each : formats()) {
    if (each.is_of_images) continue;
    const std::string format = each.name;
    add("plain_loop/" + format, [format](benchmark::State& state) { plain_loop(state, format); }, {});
    add("scheduled/" + format, [format](benchmark::State& state) { scheduled(state, format); }, {1, 2});
    add("to_folder/" + format, [format](benchmark::State& state) { to_folder(state, format); }, {1, 2});
  }
  add("sampling", sampling, {1, 2});
}

}  // namespace
}  // namespace doppel

int main(int argc, char** argv) {
  return doppel::roofline::run_benchmarks(argc, argv, true, doppel::add_benchmarks);
}
