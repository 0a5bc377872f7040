// How alike are a real and a synthetic table? Fidelity as SDMetrics defines it, utility for learning, privacy, and what
// charts need.
//
// Both tables are typed by one schema, inferred from the real data. Scores lie in [0, 1], 1 is best; NaN: not defined
// (a constant column has no correlation, an empty one no distribution), written as null in JSON and left out of
// averages.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/table/schema.h"
#include "engine/table/table.h"

namespace doppel {

class Backend;

inline constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();

// How a column enters the scores: numbers and datetimes by their values, categories and booleans by their levels.
// kSkipped: keys, free texts and empty columns, which have no distribution to compare.
enum class ColumnShape : uint8_t { kContinuous, kDiscrete, kSkipped };

// Shares of the present values of both tables in common bins; values beyond the first and last edge are counted in the
// outermost bins.
struct DensityChart {
  std::vector<double> edges;            // [bins + 1], in the column's unit (datetimes: ColumnEvaluation::unit)
  std::vector<double> real, synthetic;  // [bins] shares, each sums to 1
};

// Shares of all rows of the levels most frequent in the real table. "missing" and "other" are not among `levels`.
struct LevelChart {
  std::vector<std::string> levels;
  std::vector<double> real, synthetic;  // [levels] shares of rows
  double other_real = 0, other_synthetic = 0;
  double missing_real = 0, missing_synthetic = 0;
};

struct ColumnEvaluation {
  std::string name;
  ColumnKind kind = ColumnKind::kCategory;
  TimeUnit unit = TimeUnit::kSecond;  // datetimes: of the values in `density`
  ColumnShape shape = ColumnShape::kSkipped;
  std::string metric;  // "KSComplement", "TVComplement" or "" where skipped
  double shape_score = kUndefined;
  double missing_share_real = 0, missing_share_synthetic = 0;
  double missing_value_similarity = kUndefined;
  double range_coverage = kUndefined;      // continuous
  double boundary_adherence = kUndefined;  // continuous
  double category_coverage = kUndefined;   // discrete
  double category_adherence = kUndefined;  // discrete
  DensityChart density;                    // continuous
  LevelChart level_shares;                 // discrete
  int64_t unseen_rows = 0;                 // synthetic rows whose level the real table does not have
};

struct PairEvaluation {
  size_t first = 0, second = 0;     // indexes into Evaluation::columns, first < second
  std::string metric;               // "CorrelationSimilarity" or "ContingencySimilarity"
  double trend_score = kUndefined;  // classic: no thresholds
  bool meets_threshold = false;     // the real dependence is strong enough to count with thresholds
  double real_correlation = kUndefined, synthetic_correlation = kUndefined;  // Pearson; two continuous columns
  double real_association = kUndefined, synthetic_association = kUndefined;  // Cramer's V; any other pair
};

struct QualityScore {
  double shapes = kUndefined, trends = kUndefined, overall = kUndefined;
};

// SDMetrics >= 0.27 averages only the pairs whose real dependence is above these.
inline constexpr double kRealCorrelationThreshold = 0.5;
inline constexpr double kRealAssociationThreshold = 0.3;

struct LearnerScores {
  // regression
  double r2 = kUndefined, root_mean_square_error = kUndefined, mean_absolute_error = kUndefined;
  // classification; auc: two classes only
  double auc = kUndefined, accuracy = kUndefined, macro_f1 = kUndefined;
};

struct LearnerEvaluation {
  std::string learner;  // "linear regression", "logistic regression", "random forest", "gradient boosting"
  LearnerScores trained_on_real, trained_on_synthetic;
  double share_of_real = kUndefined;  // headline score (R2, AUC, macro F1) of synthetic / of real
};

struct Utility {
  std::string target;
  bool is_classification = false;
  bool has_holdout = false;  // false: the test rows were seen by whoever made the synthetic table
  int64_t real_rows = 0, synthetic_rows = 0, test_rows = 0;  // with a target
  std::string headline;                                      // "r2", "auc" or "macro_f1"
  std::vector<LearnerEvaluation> learners;
};

// Points of the first two principal components (fitted on the real rows), for drawing: at most 2,000 rows of each
// table.
struct PrincipalComponentsChart {
  std::vector<double> real_x, real_y, synthetic_x, synthetic_y;
  double explained_share_x = kUndefined, explained_share_y = kUndefined;
};

// Distances of rows to their nearest training row (DCR, distance to closest record).
struct DistanceSummary {
  int64_t rows = 0;  // whose nearest one was sought
  double percentile_5 = kUndefined, median = kUndefined;
};
DistanceSummary summarise_distances(std::vector<double> distances);

// Does the synthetic table repeat the rows that it was made from? Distance is Gower's: the mean over all columns but
// keys, texts and empty ones of
//   numbers, datetimes  |difference| / range of the real table, at most 1
//   categories          0 equal, 1 different; levels that the real table does not have count as one
//   missing             0 beside missing, 1 beside a value
// as SDMetrics has it (sdmetrics/single_table/privacy/dcr_utils.py), where the range is that of each table searched:
// two ranges favour the table with the wider one (2,000 rows of adult: 60 % nearer to training, by one range 53 %). The
// range is no robust scale, but it makes results comparable with theirs, and any one scale favours neither training nor
// held-out rows.
struct Privacy {
  int64_t columns = 0;  // in the distance; 0: nothing could be compared
  bool has_holdout = false;
  // Share of synthetic rows nearer to a training row than to a held-out one, among equally many of each, ties counting
  // half: 0.5 where the training rows are no better known than rows never seen. Copies of all training rows would reach
  // `copies_share`, which is 1 if all of them are among the compared: half of the others' copies are nearer by chance.
  // SDMetrics' DCROverfittingProtection is min(2 (1 - nearer + tied / 2), 1): it counts ties as farther.
  double nearer_share = kUndefined, tied_share = kUndefined, copies_share = kUndefined;
  int64_t compared_rows = 0;  // training rows, and as many held-out ones
  // Rows equal to a training row in every column of the distance; of all rows.
  int64_t identical_synthetic_rows = 0, identical_holdout_rows = 0;
  double identical_synthetic_share = kUndefined, identical_holdout_share = kUndefined;
  int64_t training_rows = 0;  // among which the nearest one was sought
  DistanceSummary synthetic_distance, holdout_distance;
};

// What held-out real rows score in the synthetic table's place: about what the best double of as many rows would.
struct HoldoutScores {
  int64_t rows = 0;
  QualityScore classic, with_thresholds;
  double detection_auc = kUndefined;
};

struct Evaluation {
  int64_t real_rows = 0, synthetic_rows = 0;
  std::vector<ColumnEvaluation> columns;  // in the schema's order
  std::vector<PairEvaluation> pairs;      // of columns that are not skipped
  QualityScore classic, with_thresholds;  // overall: mean of shapes and trends
  double quality_seconds = kUndefined;  // shapes, trends and single-column scores; set by the caller, who has the clock
  // Pearson correlations of the continuous columns, row-major [continuous, continuous]; `continuous` indexes `columns`.
  std::vector<size_t> continuous;
  std::vector<double> correlation_real, correlation_synthetic;
  PrincipalComponentsChart components;
  std::optional<Utility> utility;
  // Area under the ROC curve of boosted trees told to tell synthetic from real rows, out of fold: 0.5 cannot, 1 always.
  double detection_auc = kUndefined;
  std::optional<Privacy> privacy;
  std::optional<HoldoutScores> holdout;
  std::vector<std::string> notes;
};

struct EvaluateOptions {
  uint64_t seed = 0;
  bool detection = true;
  std::optional<size_t> target;                      // column to learn; none: no utility
  std::function<void(const std::string&)> on_stage;  // called as each stage begins; may be empty
};

// Column and pair scores, charts' densities and shares, and totals: everything but utility, detection and components.
// Follows SDMetrics 0.32: sdmetrics/reports/single_table/_properties/{column_shapes,column_pair_trends}.py and
// sdmetrics/single_column; always on all rows. Throws InputError where a table has no rows.
Evaluation evaluate_quality(const TableSchema& schema, const Table& real, const Table& synthetic,
                            const Backend& backend);

// Trains linear or logistic regression, a random forest and boosted trees on the synthetic and on the real rows, and
// scores both on the same rows that neither saw: `holdout`, or one fifth of `real` chosen by a hash of (seed, row).
// Rows without a target are dropped; of a synthetic table of more than 200,000 rows about that many are taken, by a
// hash of (seed, row), or as many as the real table has. Throws UsageError where the target cannot be learned (a key,
// one class, too few rows).
Utility evaluate_utility(const TableSchema& schema, const Table& real, const Table& synthetic, const Table* holdout,
                         const EvaluateOptions& options);

// At most 50,000 rows of each table; three folds.
double evaluate_detection(const TableSchema& schema, const Table& real, const Table& synthetic, uint64_t seed);

PrincipalComponentsChart project_components(const TableSchema& schema, const Table& real, const Table& synthetic,
                                            uint64_t seed);

// Adds utility, detection and components to what evaluate_quality found, as the options ask, with notes.
void evaluate_learning(const TableSchema& schema, const Table& real, const Table& synthetic, const Table* holdout,
                       const EvaluateOptions& options, Evaluation& evaluation);

// Exact, by exhaustive search, up to 50,000 synthetic and held-out rows, against up to 100,000 training rows; of more,
// those with the smallest hashes of (seed, row). Of training and held-out rows the larger table gives as many rows as
// the smaller, chosen likewise. Rows that are identical are counted in all. `holdout` may be null: then there is
// nothing to compare with.
Privacy evaluate_privacy(const TableSchema& schema, const Table& real, const Table& synthetic, const Table* holdout,
                         const Backend& backend, uint64_t seed);

// Detection as the options ask. Throws InputError where the holdout has no rows.
HoldoutScores evaluate_holdout(const TableSchema& schema, const Table& real, const Table& holdout,
                               const Backend& backend, const EvaluateOptions& options);

// Adds privacy and, with a holdout, its scores to an evaluation, with notes.
void evaluate_beside_holdout(const TableSchema& schema, const Table& real, const Table& synthetic, const Table* holdout,
                             const Backend& backend, const EvaluateOptions& options, Evaluation& evaluation);

// At most `most` pairs that have a trend score, the lowest first.
std::vector<const PairEvaluation*> worst_pairs(const Evaluation& evaluation, size_t most);

// Pearson's correlation of two continuous columns, Cramer's V of any other pair.
struct Dependence {
  const char* measure;
  double real, synthetic;
};
Dependence dependence_of(const PairEvaluation& pair);

// R2, AUC or macro F1, as utility.headline says.
double headline_score(const Utility& utility, const LearnerScores& scores);

nlohmann::ordered_json to_json(const Evaluation& evaluation);

}  // namespace doppel
