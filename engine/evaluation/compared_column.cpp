#include "engine/evaluation/compared_column.h"

#include <array>
#include <charconv>
#include <cmath>
#include <span>
#include <string>
#include <utility>

#include "engine/table/cells.h"
#include "kernels/backend.h"

namespace doppel {
namespace {

constexpr int kBins = 10;  // of a continuous column beside a discrete one

bool is_number(const std::string& text, double& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && std::isfinite(value);
}

// Fills values, and gives the present ones' keys, by row.
SortedNumbers fill_values(const ColumnSchema& schema, const Column& column, const Backend& backend,
                          ComparedColumn& compared) {
  compared.values.assign(static_cast<size_t>(compared.rows), kUndefined);
  double constant = 0;
  if (schema.kind == ColumnKind::kConstant) is_number(schema.levels.at(0), constant);
  const bool has_quanta = !column.quanta.empty();
  const auto divisor = static_cast<double>(power_of_ten(schema.kind == ColumnKind::kDecimal ? schema.decimals : 0));
  std::vector<int64_t> keys;
  keys.reserve(static_cast<size_t>(compared.rows));
  for (int64_t row = 0; row < compared.rows; ++row) {
    if (column.is_missing(row)) continue;
    double value = constant;
    if (has_quanta) value = static_cast<double>(column.quanta[row]) / divisor;
    if (!column.reals.empty()) value = column.reals[row];
    if (!std::isfinite(value)) continue;
    keys.push_back(has_quanta ? column.quanta[row] : ordered_bits(value));
    compared.values[row] = value;
  }
  backend.sort_ascending(keys);
  return {std::move(keys), has_quanta ? divisor : 0};
}

void measure(ComparedColumn& compared) {
  const auto present = static_cast<int64_t>(compared.sorted.size());
  compared.missing = compared.rows - present;
  if (present == 0) return;
  compared.minimum = compared.sorted.value(0);
  compared.maximum = compared.sorted.value(compared.sorted.size() - 1);
  double sum = 0;
  for (const double value : compared.values)
    if (!std::isnan(value)) sum += value;
  compared.mean = sum / static_cast<double>(present);
}

// The eleven edges of numpy.histogram_bin_edges(values, 10).
std::array<double, kBins + 1> bin_edges(double minimum, double maximum) {
  if (std::isnan(minimum)) minimum = 0, maximum = 1;
  if (minimum == maximum) minimum -= 0.5, maximum += 0.5;
  std::array<double, kBins + 1> edges{};
  const double step = (maximum - minimum) / kBins;
  for (int i = 0; i <= kBins; ++i) edges[i] = i * step + minimum;
  edges[kBins] = maximum;
  return edges;
}

void fill_bins(ComparedColumn& compared) {
  const auto edges = bin_edges(compared.minimum, compared.maximum);
  const double width = edges[1] - edges[0];
  compared.codes.resize(compared.values.size());
  compared.code_count = kBins + 2;
  for (size_t row = 0; row < compared.values.size(); ++row) {
    const double value = compared.values[row];
    int bin = kBins + 1;
    if (value == value) {
      // A guess by division is within one of the bin by comparison.
      bin = static_cast<int>(to_bin((value - edges[0]) / width, kBins)) + 1;
      while (bin <= kBins && value >= edges[bin]) ++bin;
      while (bin > 0 && value < edges[bin - 1]) --bin;
    }
    compared.codes[row] = bin;
  }
}

void fill_codes(const ColumnSchema& schema, const Column& column, ComparedColumn& compared) {
  const auto levels = static_cast<int32_t>(schema.levels.size());
  compared.code_count = levels + 2;
  compared.codes.resize(static_cast<size_t>(compared.rows));
  compared.counts.assign(static_cast<size_t>(compared.code_count), 0);
  for (int64_t row = 0; row < compared.rows; ++row) {
    int32_t code = column.codes.empty() ? 0 : column.codes[row];
    if (code == kUnseenCode) code = levels;
    if (column.is_missing(row)) code = levels + 1;
    ++compared.counts[code];
    compared.codes[row] = code;
  }
  compared.missing = compared.counts[levels + 1];
}

}  // namespace

int64_t SortedNumbers::key_to_compare(size_t i) const {
  if (divisor_ > 0) return keys_[i];
  const double value = double_of_ordered_bits(keys_[i]);
  return std::abs(value) < 1e290 ? ordered_bits(std::nearbyint(value * 1e14) / 1e14) : keys_[i];
}

ColumnShape shape_of(const ColumnSchema& schema) {
  double number;
  switch (schema.kind) {
    case ColumnKind::kInteger:
    case ColumnKind::kDecimal:
    case ColumnKind::kReal:
    case ColumnKind::kDatetime:
      return ColumnShape::kContinuous;
    case ColumnKind::kBoolean:
    case ColumnKind::kCategory:
      return ColumnShape::kDiscrete;
    case ColumnKind::kConstant:
      return is_number(schema.levels.at(0), number) ? ColumnShape::kContinuous : ColumnShape::kDiscrete;
    default:
      return ColumnShape::kSkipped;
  }
}

ComparedColumn compare_column(const ColumnSchema& schema, const Table& table, size_t index, const Backend& backend) {
  ComparedColumn compared;
  compared.shape = shape_of(schema);
  compared.rows = table.rows;
  const Column& column = table.columns[index];
  if (compared.shape == ColumnShape::kContinuous) {
    compared.sorted = fill_values(schema, column, backend, compared);
    measure(compared);
    fill_bins(compared);
  } else if (compared.shape == ColumnShape::kDiscrete) {
    fill_codes(schema, column, compared);
  } else if (schema.kind == ColumnKind::kEmpty) {
    compared.missing = table.rows;
  } else {
    for (int64_t row = 0; row < table.rows; ++row) compared.missing += column.is_missing(row);
  }
  return compared;
}

}  // namespace doppel
