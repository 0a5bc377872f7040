// Encoders into memory, one thread: rows a second, bytes a second of the file, percent of the ceiling that writing
// those bytes to memory is, and Arrow's own writers on the same batch.
//   build/release/bench/bench_encoders --benchmark_filter=csv
#include <arrow/api.h>
#include <arrow/csv/writer.h>
#include <arrow/io/memory.h>
#include <arrow/ipc/api.h>
#include <benchmark/benchmark.h>
#include <parquet/arrow/writer.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

#include "bench/roofline.h"
#include "host/encoders/encoder.h"
#include "host/encoders/formats.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr int kColumns = 20;

struct Case {
  std::string name;
  ColumnKind kind;
  Storage storage;
  int decimals = 0;
  int64_t values = 0;  // distinct ones; 0: normal, nearly all different
  SourceType source = SourceType::kText;
};

const Case kCases[] = {
    {"decimals", ColumnKind::kDecimal, Storage::kInt32, 4},                         // "-12.3456"
    {"quantised", ColumnKind::kDecimal, Storage::kInt32, 2, 100},                   // "0.55"
    {"integers", ColumnKind::kInteger, Storage::kInt32},                            // "-123456"
    {"small_integers", ColumnKind::kInteger, Storage::kInt32, 0, 80},               // "47"
    {"float32", ColumnKind::kReal, Storage::kFloat32, 0, 0, SourceType::kFloat32},  // "-12.345671"
    {"float64", ColumnKind::kReal, Storage::kFloat64},
    {"categories", ColumnKind::kCategory, Storage::kInt32, 0, 16},
    {"datetimes", ColumnKind::kDatetime, Storage::kInt64},
};

OutputSchema schema_of(const Case& wanted) {
  OutputSchema schema;
  for (int index = 0; index < kColumns; ++index) {
    OutputColumn column;
    column.schema.name = "column" + std::to_string(index);
    column.schema.kind = wanted.kind;
    column.schema.decimals = wanted.decimals;
    column.schema.keeps_trailing_zeros = true;
    column.schema.source = wanted.source;
    column.storage = wanted.storage;
    if (wanted.kind == ColumnKind::kCategory)
      for (int64_t level = 0; level < wanted.values; ++level)
        column.schema.levels.push_back("level-" + std::to_string(level));
    schema.columns.push_back(column);
  }
  return schema;
}

uint64_t random_bits(uint64_t& state) {  // splitmix64
  uint64_t bits = (state += 0x9e3779b97f4a7c15ull);
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9ull;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebull;
  return bits ^ (bits >> 31);
}

// Nearly normal: the sum of four uniforms.
double normal(uint64_t& state) {
  double sum = 0;
  for (int draw = 0; draw < 4; ++draw) sum += static_cast<double>(random_bits(state) >> 11) * 0x1p-53;
  return (sum - 2) * std::sqrt(3.0);
}

void fill(const Case& wanted, Batch& batch, int64_t rows) {
  batch.rows = rows;
  uint64_t state = 1;
  for (size_t column = 0; column < batch.columns(); ++column) {
    void* values = batch.buffer(column).values;
    for (int64_t row = 0; row < rows; ++row) {
      const double score = normal(state);
      int64_t quanta = static_cast<int64_t>(score * (wanted.kind == ColumnKind::kDatetime ? 5e8 : 123456.0));
      if (wanted.values != 0) quanta = static_cast<int64_t>(random_bits(state) % static_cast<uint64_t>(wanted.values));
      switch (wanted.storage) {
        case Storage::kInt32:
          static_cast<int32_t*>(values)[row] = static_cast<int32_t>(quanta);
          break;
        case Storage::kInt64:
          static_cast<int64_t*>(values)[row] = quanta;
          break;
        case Storage::kFloat32:
          static_cast<float*>(values)[row] = static_cast<float>(score * 12);
          break;
        case Storage::kFloat64:
          static_cast<double*>(values)[row] = score * 12;
          break;
      }
    }
  }
}

void count(benchmark::State& state, int64_t rows, size_t bytes) {
  state.counters["rows/s"] =
      benchmark::Counter(static_cast<double>(rows * state.iterations()), benchmark::Counter::kIsRate);
  state.counters["bytes/s"] = benchmark::Counter(static_cast<double>(bytes) * static_cast<double>(state.iterations()),
                                                 benchmark::Counter::kIsRate);
  const double bytes_per_row = static_cast<double>(bytes) / static_cast<double>(rows);
  state.counters["bytes/row"] = bytes_per_row;
  roofline::set_ceiling(state, static_cast<double>(rows), {roofline::memory_ceiling(bytes_per_row)});
}

void encode(benchmark::State& state, const Format& format, const Case& wanted, const std::string& compression) {
  const OutputSchema schema = schema_of(wanted);
  const int64_t rows = format.rows_per_batch(schema);
  Batch batch(schema, rows);
  fill(wanted, batch, rows);
  const auto encoder = format.make(schema, {.compression = compression, .provenance = {}});
  ByteBuffer out;
  for (auto _ : state) {
    out.clear();
    encoder->encode(batch, out);
    benchmark::DoNotOptimize(out.data());
  }
  count(state, rows, out.size());
}

// The same values as Arrow has them, by way of an Arrow IPC stream.
std::shared_ptr<arrow::RecordBatch> arrow_batch(const Case& wanted, const OutputSchema& schema, int64_t rows) {
  Batch batch(schema, rows);
  fill(wanted, batch, rows);
  const auto encoder = find_format("arrows").make(schema, {});
  ByteBuffer out;
  encoder->head(rows, out);
  const EncodedBatch encoded = encoder->encode(batch, out);
  encoder->tail({&encoded, 1}, out);
  const auto copy = arrow::Buffer::FromString(std::string(reinterpret_cast<const char*>(out.data()), out.size()));
  const auto reader =
      arrow::ipc::RecordBatchStreamReader::Open(std::make_shared<arrow::io::BufferReader>(copy)).ValueOrDie();
  return reader->Next().ValueOrDie();
}

void must(const arrow::Status& status) {
  if (!status.ok()) throw Error(status.ToString());
}

// Arrow's writer with its defaults, or `parquet_plain`: without dictionaries.
void encode_by_arrow(benchmark::State& state, const Format& format, const Case& wanted, bool parquet_plain) {
  const OutputSchema schema = schema_of(wanted);
  const int64_t rows = format.rows_per_batch(schema);
  const auto batch = arrow_batch(wanted, schema, rows);
  const auto table = arrow::Table::FromRecordBatches({batch}).ValueOrDie();
  parquet::WriterProperties::Builder properties;
  if (parquet_plain) properties.disable_dictionary();
  int64_t bytes = 0;
  const auto sink = arrow::io::BufferOutputStream::Create(rows * kColumns * 30).ValueOrDie();
  for (auto _ : state) {
    must(sink->Reset(rows * kColumns * 30));
    if (format.name == "csv") {
      must(arrow::csv::WriteCSV(*batch, arrow::csv::WriteOptions::Defaults(), sink.get()));
    } else if (format.name == "parquet") {
      must(parquet::arrow::WriteTable(*table, arrow::default_memory_pool(), sink, rows, properties.build()));
    } else {
      const auto writer = arrow::ipc::MakeFileWriter(sink, batch->schema()).ValueOrDie();
      must(writer->WriteRecordBatch(*batch));
      must(writer->Close());
    }
    bytes = sink->Tell().ValueOrDie();
  }
  count(state, rows, static_cast<size_t>(bytes));
}

// Prints, below the table, how many times as fast as Arrow's writer each encoder was.
class RatioReporter : public benchmark::ConsoleReporter {
 public:
  RatioReporter() : ConsoleReporter(OO_Tabular) {}
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs)
      if (run.counters.count("rows/s") != 0) rates_[run.benchmark_name()] = run.counters.at("rows/s");
    ConsoleReporter::ReportRuns(runs);
  }
  void Finalize() override {
    std::printf("\nTimes as fast as Arrow's own writer (rows/s)\n");
    for (const auto& [name, rate] : rates_) {
      const auto other = rates_.find(name + "/by_arrow"), plain = rates_.find(name + "/by_arrow_plain");
      if (other != rates_.end()) std::printf("  %-28s %6.2f\n", name.c_str(), rate / other->second);
      if (plain != rates_.end())
        std::printf("  %-28s %6.2f (Arrow without dictionaries)\n", name.c_str(), rate / plain->second);
    }
  }

 private:
  std::map<std::string, double> rates_;
};

void add_benchmarks() {
  for (const Format& format : formats()) {
    if (format.is_of_images) continue;
    for (const Case& wanted : kCases) {
      const std::string name = format.name + "/" + wanted.name;
      benchmark::RegisterBenchmark(name.c_str(),
                                   [&](benchmark::State& state) { encode(state, format, wanted, "default"); });
      for (const std::string& compression : format.compressions) {
        if (compression == "gzip" || format.compressions.size() == 1) continue;
        benchmark::RegisterBenchmark((name + "/" + compression).c_str(),
                                     [&](benchmark::State& state) { encode(state, format, wanted, compression); });
      }
      if (format.name != "csv" && format.name != "parquet" && format.name != "arrow") continue;
      benchmark::RegisterBenchmark((name + "/by_arrow").c_str(),
                                   [&](benchmark::State& state) { encode_by_arrow(state, format, wanted, false); });
      if (format.name == "parquet")
        benchmark::RegisterBenchmark((name + "/by_arrow_plain").c_str(),
                                     [&](benchmark::State& state) { encode_by_arrow(state, format, wanted, true); });
    }
  }
}

}  // namespace
}  // namespace doppel

int main(int argc, char** argv) {
  doppel::add_benchmarks();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  doppel::roofline::print_ceilings(false);
  doppel::RatioReporter reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter);
  return 0;
}
