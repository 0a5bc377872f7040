// A model as a density over the rows of its table: how likely a row is, which of its cells make it unlikely, and rows
// completed from what is given of them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/table/schema.h"
#include "engine/table/table.h"

namespace doppel {

class Backend;

// A value as batches hold it (batch.h): a number's quanta or a level's code, or a real number.
struct SampledValue {
  bool is_missing = false;
  int64_t integer = 0;
  double real = 0;
};

// The value of a row of a table that was read by the column's schema. A level that the schema does not list is code
// kUnseenCode.
SampledValue value_of(const ColumnSchema& schema, const Column& column, int64_t row);

// What is known of a cell.
enum class Knowledge : uint8_t {
  kGiven,    // what the table says, "missing" included
  kPresent,  // that it has a value
  kNone,
};

enum class Completion : uint8_t {
  kDraw,  // from the conditional distribution of what is not given, all columns jointly
  kMean,  // each column by itself: a number's conditional mean (of whole numbers the nearest one), the likeliest level
};

// One per thread: it keeps what rows have in common.
class DensityWorker {
 public:
  virtual ~DensityWorker() = default;

  // For each row of rows [first, first + rows) of a table read by the model's schema
  //   score [rows]                   -log p(what is known of the row), in nats
  //   contribution [rows, columns]   -log p(the cell | all else that is known); 0 where nothing is known of it
  //   usual [rows, columns]          -log p(the cell) with nothing else known, at most log(rows learned from + 1); 0
  //   for
  //                                  values that the model never makes, which are as usual nowhere
  // knowledge [columns] is that of all rows. The density is with respect to counting measure for what has
  // probabilities (levels, special values of numbers, being missing), and to length on the axis of normal scores for
  // all other numbers. A value that the model never makes counts with the probability of less than one row among those
  // learned from.
  virtual void score(const Table& table, int64_t first, int64_t rows, std::span<const Knowledge> knowledge,
                     std::span<double> score, std::span<double> contribution, std::span<double> usual) = 0;

  // One row from what is known [columns] of row `given` of a table: values [columns] of the columns that have values
  // (has_values) and of keys' and texts' gaps; those given are what the table says. Draws depend on (seed, row) and on
  // what is given alone.
  virtual void complete(const Table& table, int64_t given, std::span<const Knowledge> knowledge, Completion how,
                        uint64_t seed, uint64_t row, std::span<SampledValue> values) = 0;
};

inline constexpr int64_t kWorkerBytes = int64_t{64} << 20;  // of what a worker keeps, about

class Density {
 public:
  virtual ~Density() = default;
  virtual const TableSchema& schema() const = 0;
  // The density and the backend must outlive it. With fewer `most_bytes` for what rows have in common it computes more,
  // to the same bits; so are scores that the backend finds, if it has the operation (kernels/row_scores.h), but for
  // rounding where covariances are of low rank.
  virtual std::unique_ptr<DensityWorker> make_worker(int64_t most_bytes = kWorkerBytes,
                                                     const Backend* backend = nullptr) const = 0;
};

}  // namespace doppel
