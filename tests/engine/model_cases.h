// Tables, fits and samples for the tests of models.
#pragma once

#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/model.h"
#include "kernels/common/error.h"
#include "tests/engine/memory_table.h"

namespace doppel {

inline const Backend& cpu() {
  static const std::unique_ptr<Backend> backend = make_backend("cpu");
  return *backend;
}

inline MemoryColumn text_column(const std::string& name, std::vector<std::string> texts) {
  MemoryColumn column;
  column.field.name = name;
  column.texts = std::move(texts);
  return column;
}
inline MemoryColumn real_column(const std::string& name, std::vector<double> reals) {
  MemoryColumn column;
  column.field = {name, SourceType::kFloat64, TimeUnit::kSecond, ""};
  column.reals = std::move(reals);
  return column;
}
inline MemoryColumn integer_column(const std::string& name, std::vector<int64_t> integers) {
  MemoryColumn column;
  column.field = {name, SourceType::kInt64, TimeUnit::kSecond, ""};
  column.integers = std::move(integers);
  return column;
}

inline FitOptions options_of(const std::string& model) {
  FitOptions options;
  options.model = model;
  return options;
}

inline std::unique_ptr<Model> fit(MemoryTable table, const FitOptions& options = options_of("pca")) {
  const TableProfile profile = profile_table(table, {});
  return fit_model(table, profile, options, cpu());
}
inline std::unique_ptr<Model> fit(std::vector<MemoryColumn> columns, const FitOptions& options = options_of("pca"),
                                  int64_t chunk_rows = 1 << 20) {
  return fit(MemoryTable(std::move(columns), chunk_rows), options);
}

// Standard normals, [dimensions] vectors of rows numbers, each pair of dimensions of this correlation.
inline std::vector<std::vector<double>> normals(int dimensions, int rows, double correlation, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<std::vector<double>> columns(dimensions, std::vector<double>(rows));
  for (int row = 0; row < rows; ++row) {
    const double shared = normal(random);
    for (int d = 0; d < dimensions; ++d)
      columns[d][row] = std::sqrt(correlation) * shared + std::sqrt(1 - correlation) * normal(random);
  }
  return columns;
}

// Codes with their names, a flag that goes with the sign of x, y = x^2 + noise, gaps where the flag is set, and a
// spike at 0.
inline std::vector<MemoryColumn> curved_table(int rows, uint64_t seed = 7) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<std::string> flag, code, name;
  std::vector<double> x, y, spiked;
  MemoryColumn gappy = real_column("gappy", {});
  const char* names[] = {"north", "south", "east", "west", "middle"};
  for (int row = 0; row < rows; ++row) {
    const double value = normal(random);
    const auto place = random() % 5;
    x.push_back(value);
    y.push_back(value * value + 0.1 * normal(random));
    flag.push_back(value > 0 ? "up" : "down");
    code.push_back("c" + std::to_string(place));
    name.push_back(names[place]);
    spiked.push_back(row % 3 == 0 ? 0 : std::exp(normal(random)) + (value > 0 ? 10 : 0));
    gappy.present.push_back(value <= 0 || row % 4 != 0);
    gappy.reals.push_back(gappy.present.back() ? value + 3 : 0);
  }
  return {real_column("x", x),
          real_column("y", y),
          text_column("flag", flag),
          text_column("code", code),
          text_column("name", name),
          real_column("spiked", spiked),
          gappy};
}
inline constexpr size_t kX = 0, kY = 1, kFlag = 2, kCode = 3, kName = 4, kSpiked = 5, kGappy = 6;

// Rows of a model, a double for each value (NaN where missing; texts are not looked at).
struct Sampled {
  std::vector<std::vector<double>> columns;
  std::vector<std::byte> bytes;  // of all values and validity bits
};

inline double value_at(const OutputColumn& column, const Batch& batch, size_t c, int64_t row) {
  if (!batch.is_present(c, row) || !column.has_values()) return std::nan("");
  const void* values = batch.buffer(c).values;
  double value = 0;
  switch (column.storage) {
    case Storage::kInt32:
      value = static_cast<const int32_t*>(values)[row];
      break;
    case Storage::kInt64:
      value = static_cast<double>(static_cast<const int64_t*>(values)[row]);
      break;
    case Storage::kFloat32:
      value = static_cast<const float*>(values)[row];
      break;
    case Storage::kFloat64:
      value = static_cast<const double*>(values)[row];
      break;
  }
  return column.schema.kind == ColumnKind::kDecimal ? value / std::pow(10, column.schema.decimals) : value;
}

// `next` says how many rows the next batch has, given how many are left.
inline Sampled sample(
    const Generator& generator, int64_t rows,
    const std::function<int64_t(int64_t)>& next = [](int64_t left) { return left; }, uint64_t first_row = 0) {
  const auto sampler = generator.make_sampler();
  const auto& columns = generator.schema().columns;
  Batch batch(generator.schema(), rows);
  Sampled sampled;
  sampled.columns.resize(columns.size());
  for (int64_t done = 0; done < rows;) {
    const int64_t count = std::min(next(rows - done), rows - done);
    sampler->sample(first_row + static_cast<uint64_t>(done), count, batch);
    for (size_t c = 0; c < columns.size(); ++c)
      for (int64_t row = 0; row < count; ++row) sampled.columns[c].push_back(value_at(columns[c], batch, c, row));
    done += count;
  }
  for (const auto& column : sampled.columns) {
    const auto* start = reinterpret_cast<const std::byte*>(column.data());
    sampled.bytes.insert(sampled.bytes.end(), start, start + column.size() * sizeof(double));
  }
  return sampled;
}

inline Sampled sample(
    const Model& model, int64_t rows, uint64_t seed = 1,
    const std::function<int64_t(int64_t)>& next = [](int64_t left) { return left; }, uint64_t first_row = 0) {
  return sample(*model.make_generator(seed, cpu()), rows, next, first_row);
}

// Pearson's correlation over the rows where neither is NaN.
inline double correlation(const std::vector<double>& x, const std::vector<double>& y) {
  double n = 0, sx = 0, sy = 0, sxx = 0, syy = 0, sxy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (std::isnan(x[i]) || std::isnan(y[i])) continue;
    n += 1, sx += x[i], sy += y[i], sxx += x[i] * x[i], syy += y[i] * y[i], sxy += x[i] * y[i];
  }
  return (sxy - sx * sy / n) / std::sqrt((sxx - sx * sx / n) * (syy - sy * sy / n));
}

// Rows of doubles (codes, quanta or reals; NaN: missing) as a table.
inline Table table_of(const TableSchema& schema, const std::vector<std::vector<double>>& rows) {
  Table table;
  table.rows = static_cast<int64_t>(rows.size());
  table.columns.resize(schema.columns.size());
  for (size_t c = 0; c < schema.columns.size(); ++c)
    for (const std::vector<double>& row : rows) {
      const double value = std::isnan(row[c]) ? 0 : row[c];
      Column& column = table.columns[c];
      column.missing.push_back(std::isnan(row[c]));
      column.reals.push_back(value);
      column.quanta.push_back(static_cast<int64_t>(value));
      column.codes.push_back(static_cast<int32_t>(value));
    }
  return table;
}

inline double share(const std::vector<double>& values, const std::function<bool(double)>& holds) {
  double count = 0;
  for (const double value : values) count += holds(value);
  return count / static_cast<double>(values.size());
}

}  // namespace doppel
