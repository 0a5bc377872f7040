// What a mixture sees of a table: variables of finitely many states, and latents (normal scores).
//
// A category, a truth value, a number of few values and the gaps of any column are states of a variable. A number of
// many values is a latent; where it also has gaps or special values ("atoms": the 0 of a capital gain), its variable
// says which of them it is or that the latent counts, and where it does not the latent is unobserved.
//
// Variables that tell much of one another share one, whose states are the combinations that occur: what two columns
// always have together (a code and its name) they then have in every row. They are joined pair by pair as long as that
// raises the likelihood of the table by more than the states cost (the Bayesian information criterion).
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/models/encoded_rows.h"
#include "engine/table/profile.h"
#include "kernels/table.h"

namespace doppel {

inline constexpr size_t kFewValues = 24;      // a number of no more values is a variable altogether
inline constexpr size_t kHeapedValues = 256;  // likewise where one value holds more than kHeap of the values
inline constexpr double kHeap = 0.3;
inline constexpr double kAtom = 0.1;           // share of the rows of a value that is a state of its own
inline constexpr int64_t kMostJoined = 256;    // states of variables that were joined
inline constexpr double kLeastGain = 0.05;     // nats a row that joining two variables must bring
inline constexpr int64_t kJoinRows = 1 << 16;  // rows looked at for it, and in all pairs of variables together:
inline constexpr int64_t kMostJoinCounts = int64_t{1} << 32;

// One thing that a column can be.
struct ColumnPart {
  StateRole role = StateRole::kValue;
  int32_t position = 0;  // kValue: of the value in the column's distribution, or the level's code
};

// A column as part of a variable.
struct VariableColumn {
  size_t column = 0;
  std::vector<ColumnPart> parts;
  std::vector<int32_t> part_of_position;  // [1 + positions]: of a gap, then of each position; -1: never seen
  int32_t part_of(int32_t position) const { return part_of_position[static_cast<size_t>(position + 1)]; }
};

struct MixtureVariable {
  std::vector<VariableColumn> columns;
  int32_t states = 0;
  std::vector<int32_t> parts_of_state;                            // [states, columns]
  std::unordered_map<std::string, int32_t> state_of_combination;  // of several columns; keys are the parts' bytes

  int32_t state_of(const EncodedRows& block, int64_t row) const;  // -1: never seen
  const ColumnPart& part(int32_t state, size_t column) const {
    return columns[column].parts[parts_of_state[static_cast<size_t>(state) * columns.size() + column]];
  }
};

// A number's continuous part on the axis of normal scores.
struct LatentAxis {
  size_t column = 0;
  int32_t variable = -1;  // that says whether the latent counts; -1: it always does
  std::vector<double>
      cumulative;  // [positions + 1] share of the continuous part below each position; no width: a state
};

// With more axes members' covariances are of low rank (factor_analysers.h): full ones would cost too much, and rows
// have too many patterns.
inline constexpr size_t kMostFullAxes = 128;

struct MixtureSpace {
  std::vector<MixtureVariable> variables;
  std::vector<LatentAxis> axes;
  bool is_low_rank = false;
};

MixtureSpace make_mixture_space(const TableProfile& profile, RowBlocks& blocks);

// Rows that all have the same latents; where covariances are of low rank any rows, NaN where a latent is absent.
struct RowsOfPattern {
  std::vector<int32_t> present, absent;  // axes
  int64_t rows = 0;
  std::vector<int32_t> states;  // [rows, variables]; -1: never seen
  std::vector<float> latents;   // [rows, present]
};
using RowsByPattern = std::vector<RowsOfPattern>;
int64_t count_rows(const RowsByPattern& rows);
// Rows in each state of a variable.
std::vector<int64_t> count_states(const MixtureSpace& space, const RowsByPattern& rows, size_t variable);

// Collects rows of blocks. A value shared by many rows is spread over its interval of the axis by (seed, row, axis).
class RowCollector {
 public:
  RowCollector(const MixtureSpace& space, uint64_t seed) : space_(space), seed_(seed) {}
  void add(const EncodedRows& block, int64_t row);
  RowsByPattern take();  // and start anew; patterns in the order of their first row

 private:
  float latent_of(size_t axis, int32_t position, uint64_t row) const;

  const MixtureSpace& space_;
  uint64_t seed_;
  RowsByPattern rows_;
  std::unordered_map<std::string, size_t> by_mask_;
  std::string mask_;
  std::vector<float> latents_;
};

// A uniform number in (0, 1) of (seed, index, use): what fitting draws.
double fit_uniform(uint64_t seed, uint64_t index, uint32_t use);

}  // namespace doppel
