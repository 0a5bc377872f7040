// Learning what a table's columns are: reading, profiling and converting a CSV file, one thread.
//   build/release/bench/bench_profile
// BENCH_TABLE names a CSV file; without it a table of 200,000 rows and 20 columns of every kind is made and read from
// memory that the file cache holds, and one of 5,000 columns and 1,000 rows.
#include "engine/table/profile.h"

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>

#include "engine/table/table.h"
#include "host/readers/reader.h"

namespace doppel {
namespace {

std::string cell(int column, int64_t row, std::mt19937_64& random) {
  const auto draw = static_cast<int64_t>(random() >> 1);
  switch (column % 10) {
    case 0:
      return std::to_string(row + 1);
    case 1:
      return std::to_string(draw % 100);
    case 2:
      return std::to_string(draw % 1'000'000'007);
    case 3:
      return std::to_string(static_cast<double>(draw % 100'000'000) / 1000);
    case 4:
      return "level " + std::to_string(draw % 40);
    case 5:
      return "2015-0" + std::to_string(1 + draw % 9) + "-" + std::to_string(10 + draw / 9 % 19) +
             " 10:" + std::to_string(10 + draw / 1000 % 50) + ":30";
    case 6:
      return draw % 3 == 0 ? "" : draw % 2 == 0 ? "true" : "false";
    case 7:
      return "ID-" + std::to_string(draw % 1'000'000'000);
    case 8:
      return std::to_string(static_cast<double>(draw) * 1e-19).substr(0, 8);
    default:
      return std::to_string(draw % 5000) + ".50";
  }
}

std::string make_table(const std::string& name, int64_t rows, int columns) {
  const std::string path = (std::filesystem::temp_directory_path() / name).string();
  std::ofstream file(path);
  std::mt19937_64 random(1);
  for (int column = 0; column < columns; ++column) file << (column == 0 ? "" : ",") << "column" << column;
  for (int64_t row = 0; row < rows; ++row) {
    file << '\n';
    for (int column = 0; column < columns; ++column) file << (column == 0 ? "" : ",") << cell(column, row, random);
  }
  return path;
}

void report(benchmark::State& state, int64_t rows, size_t columns, int64_t bytes) {
  const auto all = static_cast<double>(state.iterations() * rows);
  state.counters["rows/s"] = benchmark::Counter(all, benchmark::Counter::kIsRate);
  state.counters["ns/cell"] = benchmark::Counter(all * static_cast<double>(columns) * 1e-9,
                                                 benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.SetBytesProcessed(state.iterations() * bytes);
}

void read(benchmark::State& state, const std::string& path) {
  int64_t rows = 0;
  const auto source = open_table(path);
  for (auto _ : state) {
    rows = 0;
    source->rewind();
    for (RawChunk chunk; source->next(chunk);) rows += chunk.rows;
  }
  report(state, rows, source->fields().size(), source->bytes_total());
}

void profile(benchmark::State& state, const std::string& path) {
  const auto source = open_table(path);
  int64_t rows = 0;
  for (auto _ : state) rows = profile_table(*source, {}).rows;
  report(state, rows, source->fields().size(), source->bytes_total());
}

void convert(benchmark::State& state, const std::string& path) {
  const auto source = open_table(path);
  const TableProfile known = profile_table(*source, {});
  for (auto _ : state) benchmark::DoNotOptimize(read_table(*source, known.schema).rows);
  report(state, known.rows, source->fields().size(), source->bytes_total());
}

void register_table(const std::string& name, const std::string& path) {
  const auto add = [&](const char* what, void (*run)(benchmark::State&, const std::string&)) {
    benchmark::RegisterBenchmark((std::string(what) + "/" + name).c_str(), [=](benchmark::State& state) {
      run(state, path);
    })->Unit(benchmark::kMillisecond);
  };
  add("read", read);
  add("profile", profile);
  add("convert", convert);
}

}  // namespace
}  // namespace doppel

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (const char* path = std::getenv("BENCH_TABLE")) {
    doppel::register_table(path, path);
  } else {
    doppel::register_table("20_columns", doppel::make_table("bench_profile_20.csv", 200'000, 20));
    doppel::register_table("5000_columns", doppel::make_table("bench_profile_5000.csv", 1000, 5000));
  }
  benchmark::RunSpecifiedBenchmarks();
}
