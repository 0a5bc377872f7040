// Privacy: how near the synthetic rows lie to the rows they were made from, beside rows that were not used.
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>
#include <limits>
#include <utility>

#include "engine/evaluation/choose_rows.h"
#include "engine/evaluation/evaluation.h"
#include "engine/evaluation/features.h"
#include "engine/table/row_points.h"
#include "kernels/backend.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr int64_t kMostQueries = 50'000;      // synthetic rows, and held-out rows, whose nearest row is sought
constexpr int64_t kMostReferences = 100'000;  // training rows, and held-out rows, in which it is sought

// How rows become points (kernels/nearest.h): numbers as their place in the training table's range, levels as codes.
class PointEncoder {
 public:
  PointEncoder(const TableSchema& schema, const Table& training, const std::vector<int64_t>& rows);
  int64_t columns() const { return static_cast<int64_t>(columns_.size()); }
  // In the order of the columns that differ most: see kernels/nearest.h.
  std::vector<float> encode(const Table& table, const std::vector<int64_t>& rows) const;

 private:
  struct CodedColumn {
    size_t index;
    PointColumn point;  // the range is the training table's
    double spread = 0;
  };
  double value(const CodedColumn& column, const Table& table, int64_t row) const;
  void measure(const Table& training, const std::vector<int64_t>& rows, CodedColumn& column) const;

  const TableSchema& schema_;
  std::vector<CodedColumn> columns_;
};

PointEncoder::PointEncoder(const TableSchema& schema, const Table& training, const std::vector<int64_t>& rows)
    : schema_(schema) {
  for (size_t j = 0; j < schema.columns.size(); ++j) {
    const ColumnKind kind = schema.columns[j].kind;
    if (!has_values(kind)) continue;
    CodedColumn column{.index = j, .point = {.is_number = is_numeric(kind)}};
    measure(training, rows, column);
    columns_.push_back(column);
  }
  std::stable_sort(columns_.begin(), columns_.end(),
                   [](const CodedColumn& a, const CodedColumn& b) { return a.spread > b.spread; });
}

void PointEncoder::measure(const Table& training, const std::vector<int64_t>& rows, CodedColumn& column) const {
  if (column.point.is_number) {
    double low = std::numeric_limits<double>::infinity(), high = -low;
    for (int64_t row = 0; row < training.rows; ++row) {
      const double number = value(column, training, row);
      if (std::isnan(number)) continue;
      low = std::min(low, number);
      high = std::max(high, number);
    }
    if (low <= high) column.point.minimum = low;
    column.point.range = std::max(high - low, 0.0);
  }
  std::vector<float> places;
  for (const int64_t row : rows) places.push_back(column.point.place(value(column, training, row)));
  column.spread = spread_of(places);
}

double PointEncoder::value(const CodedColumn& column, const Table& table, int64_t row) const {
  const Column& cells = table.columns[column.index];
  if (column.point.is_number) return numeric_value(schema_.columns[column.index], cells, row);
  if (cells.is_missing(row)) return std::numeric_limits<double>::quiet_NaN();
  return cells.codes.empty() ? 0 : cells.codes[row];
}

std::vector<float> PointEncoder::encode(const Table& table, const std::vector<int64_t>& rows) const {
  const size_t width = columns_.size();
  std::vector<float> values(rows.size() * width);
  for (size_t k = 0; k < width; ++k)
    for (size_t i = 0; i < rows.size(); ++i)
      values[i * width + k] = columns_[k].point.place(value(columns_[k], table, rows[i]));
  return sort_points(values, width);
}

// Distances as the backend gives them, sums over columns; queries in one order whatever the references.
class Search {
 public:
  Search(const Backend& backend, const PointEncoder& encoder, const Table& table, const std::vector<int64_t>& rows)
      : backend_(backend), columns_(encoder.columns()), queries_(encoder.encode(table, rows)) {}
  std::vector<float> nearest(const std::vector<float>& references) const {
    return backend_.nearest_distances(points(queries_), points(references));
  }

 private:
  Points points(const std::vector<float>& values) const {
    return {static_cast<int64_t>(values.size()) / columns_, columns_, values};
  }
  const Backend& backend_;
  int64_t columns_;
  std::vector<float> queries_;
};

// As numpy.percentile: linear between order statistics.
double percentile(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

// Of sums over columns.
DistanceSummary summarise(const std::vector<float>& sums, int64_t columns) {
  std::vector<double> distances(sums.begin(), sums.end());
  for (double& distance : distances) distance /= static_cast<double>(columns);
  return summarise_distances(std::move(distances));
}

using RowHash = std::pair<uint64_t, uint64_t>;

// Of the cells that have a value that can be compared, exactly as the table holds them; 128 bits, so that two different
// rows never meet.
std::vector<RowHash> hash_rows(const TableSchema& schema, const Table& table) {
  std::vector<size_t> used;
  for (size_t j = 0; j < schema.columns.size(); ++j)
    if (has_values(schema.columns[j].kind)) used.push_back(j);
  std::vector<uint64_t> words(2 * used.size());  // the value, and whether there is one
  std::vector<RowHash> hashes;
  hashes.reserve(table.rows);
  for (int64_t row = 0; row < table.rows; ++row) {
    for (size_t k = 0; k < used.size(); ++k) {
      const Column& column = table.columns[used[k]];
      const bool present = !column.is_missing(row);
      uint64_t value = 0;
      if (present && !column.quanta.empty()) value = static_cast<uint64_t>(column.quanta[row]);
      if (present && !column.codes.empty()) value = static_cast<uint64_t>(column.codes[row]);
      if (present && !column.reals.empty()) value = std::bit_cast<uint64_t>(column.reals[row] + 0.0);  // -0 is 0
      words[2 * k] = value;
      words[2 * k + 1] = present;
    }
    const XXH128_hash_t hashed = XXH3_128bits(words.data(), words.size() * sizeof words[0]);
    hashes.emplace_back(hashed.high64, hashed.low64);
  }
  return hashes;
}

// How many rows are among the known ones, which are sorted. Both in order: a search for each row waits for memory.
int64_t count_known(const std::vector<RowHash>& known, std::vector<RowHash> rows) {
  std::sort(rows.begin(), rows.end());
  int64_t count = 0;
  auto at = known.begin();
  for (const RowHash& row : rows) {
    while (at != known.end() && *at < row) ++at;
    count += at != known.end() && *at == row;
  }
  return count;
}

void count_identical_rows(const TableSchema& schema, const Table& real, const Table& synthetic, const Table* holdout,
                          Privacy& privacy) {
  std::vector<RowHash> known = hash_rows(schema, real);
  std::sort(known.begin(), known.end());
  privacy.identical_synthetic_rows = count_known(known, hash_rows(schema, synthetic));
  privacy.identical_synthetic_share =
      static_cast<double>(privacy.identical_synthetic_rows) / static_cast<double>(synthetic.rows);
  if (holdout == nullptr) return;
  privacy.identical_holdout_rows = count_known(known, hash_rows(schema, *holdout));
  privacy.identical_holdout_share =
      static_cast<double>(privacy.identical_holdout_rows) / static_cast<double>(holdout->rows);
}

}  // namespace

DistanceSummary summarise_distances(std::vector<double> distances) {
  DistanceSummary summary;
  summary.rows = static_cast<int64_t>(distances.size());
  if (distances.empty()) return summary;
  std::sort(distances.begin(), distances.end());
  summary.percentile_5 = percentile(distances, 0.05);
  summary.median = percentile(distances, 0.5);
  return summary;
}

Privacy evaluate_privacy(const TableSchema& schema, const Table& real, const Table& synthetic, const Table* holdout,
                         const Backend& backend, uint64_t seed) {
  Privacy privacy;
  privacy.has_holdout = holdout != nullptr;
  const std::vector<int64_t> training = choose_rows(real.rows, kMostReferences, seed);
  const PointEncoder encoder(schema, real, training);
  privacy.columns = encoder.columns();
  if (privacy.columns == 0) return privacy;
  count_identical_rows(schema, real, synthetic, holdout, privacy);

  // Of the chosen training rows, those compared with as many held-out rows, and the rest.
  privacy.training_rows = static_cast<int64_t>(training.size());
  privacy.compared_rows = std::min(privacy.training_rows, holdout != nullptr ? holdout->rows : 0);
  const std::vector<int64_t> compared = choose_rows(real.rows, privacy.compared_rows, seed);
  std::vector<int64_t> rest;
  std::set_difference(training.begin(), training.end(), compared.begin(), compared.end(), std::back_inserter(rest));
  const std::vector<float> compared_points = encoder.encode(real, compared), rest_points = encoder.encode(real, rest);
  const auto nearest_to_training = [&](const Search& search, std::vector<float>& to_compared) {
    to_compared = search.nearest(compared_points);
    std::vector<float> distances = search.nearest(rest_points);
    for (size_t i = 0; i < distances.size(); ++i) distances[i] = std::min(distances[i], to_compared[i]);
    return distances;
  };

  const Search synthetic_search(backend, encoder, synthetic, choose_rows(synthetic.rows, kMostQueries, seed + 1));
  std::vector<float> to_compared;
  privacy.synthetic_distance = summarise(nearest_to_training(synthetic_search, to_compared), privacy.columns);
  if (holdout == nullptr || holdout->rows == 0) return privacy;
  const std::vector<float> held_out =
      encoder.encode(*holdout, choose_rows(holdout->rows, privacy.compared_rows, seed + 2));
  privacy.copies_share = 0.5 + 0.5 * static_cast<double>(privacy.compared_rows) / static_cast<double>(real.rows);
  const NearerShare share = compare_distances(to_compared, synthetic_search.nearest(held_out), encoder.columns());
  privacy.nearer_share = share.nearer;
  privacy.tied_share = share.tied;
  const Search holdout_search(backend, encoder, *holdout, choose_rows(holdout->rows, kMostQueries, seed + 2));
  privacy.holdout_distance = summarise(nearest_to_training(holdout_search, to_compared), privacy.columns);
  return privacy;
}

HoldoutScores evaluate_holdout(const TableSchema& schema, const Table& real, const Table& holdout,
                               const Backend& backend, const EvaluateOptions& options) {
  if (holdout.rows == 0) throw InputError("the holdout has no rows: give one with rows, or leave out --holdout");
  const Evaluation quality = evaluate_quality(schema, real, holdout, backend);
  HoldoutScores scores{.rows = holdout.rows, .classic = quality.classic, .with_thresholds = quality.with_thresholds};
  if (options.detection) scores.detection_auc = evaluate_detection(schema, real, holdout, options.seed);
  return scores;
}

void evaluate_beside_holdout(const TableSchema& schema, const Table& real, const Table& synthetic, const Table* holdout,
                             const Backend& backend, const EvaluateOptions& options, Evaluation& evaluation) {
  const auto begin = [&](const char* stage) {
    if (options.on_stage) options.on_stage(stage);
  };
  if (holdout != nullptr) {
    begin("held-out rows in the synthetic table's place");
    evaluation.holdout = evaluate_holdout(schema, real, *holdout, backend, options);
  }
  begin("privacy");
  const Privacy privacy = evaluate_privacy(schema, real, synthetic, holdout, backend, options.seed);
  evaluation.privacy = privacy;
  auto& notes = evaluation.notes;
  if (holdout == nullptr)
    notes.push_back("privacy has nothing to compare with: give --holdout with real rows that were not used");
  if (privacy.columns == 0) notes.push_back("privacy is not measured: no column has values that can be compared");
  const auto note_share = [&](const char* which, int64_t rows, int64_t of) {
    if (rows < of && privacy.columns > 0)
      notes.push_back("distances are measured with " + std::to_string(rows) + " of the " + std::to_string(of) + " " +
                      which + " rows");
  };
  note_share("synthetic", privacy.synthetic_distance.rows, synthetic.rows);
  note_share("training", privacy.training_rows, real.rows);
  if (holdout != nullptr) note_share("held-out", privacy.holdout_distance.rows, holdout->rows);
}

}  // namespace doppel
