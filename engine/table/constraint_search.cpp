#include "engine/table/constraint_search.h"

#include <algorithm>
#include <utility>

#include "engine/table/cells.h"

namespace doppel {
namespace {

// ---- inequalities

double value_of(const ColumnSchema& schema, const Distribution& values, size_t i) {
  if (!values.reals.empty()) return values.reals[i];
  return real_of(values.quanta[i], schema.kind == ColumnKind::kDecimal ? schema.decimals : 0);
}

// The probability of a > b, were they independent.
double chance_of_above(const TableProfile& profile, size_t a, size_t b) {
  const Distribution &left = profile.columns[a].distribution, &right = profile.columns[b].distribution;
  double above = 0, below = 0, all_left = 0, all_right = 0;
  for (const int64_t count : right.counts) all_right += static_cast<double>(count);
  for (size_t i = 0, j = 0; i < left.counts.size(); ++i) {
    const double value = value_of(profile.schema.columns[a], left, i);
    for (; j < right.counts.size() && value_of(profile.schema.columns[b], right, j) < value; ++j)
      below += static_cast<double>(right.counts[j]);
    above += static_cast<double>(left.counts[i]) * below;
    all_left += static_cast<double>(left.counts[i]);
  }
  return above / (all_left * all_right);
}

class OrderedPair {
 public:
  OrderedPair(size_t a, size_t b, const TableSchema& schema)
      : hint_{{Constraint::Kind::kInequality, {a, b}, false, {}}, 0, 0},
        at_most_({hint_.constraint}, schema, schema),
        below_({{Constraint::Kind::kInequality, {a, b}, true, {}}}, schema, schema) {}

  // False where a row breaks it.
  bool look(std::span<const ColumnCells> cells, int64_t rows) {
    const ColumnCells &a = cells[hint_.constraint.columns[0]], &b = cells[hint_.constraint.columns[1]];
    // Most pairs end at the first rows.
    constexpr int64_t kFirstRows = 64;
    uint64_t broken = 0;
    at_most_.find_broken(cells, std::min(rows, kFirstRows), {&broken, 1});
    if (broken != 0) return false;
    broken_.assign(static_cast<size_t>(rows + 63) / 64, 0);
    const auto any = [](uint64_t word) { return word != 0; };
    at_most_.find_broken(cells, rows, broken_);
    if (std::any_of(broken_.begin(), broken_.end(), any)) return false;
    if (!has_equals_) {
      below_.find_broken(cells, rows, broken_);
      has_equals_ = std::any_of(broken_.begin(), broken_.end(), any);
    }
    for (int64_t row = 0; row < rows; ++row)
      hint_.rows += (a.missing == nullptr || a.missing[row] == 0) && (b.missing == nullptr || b.missing[row] == 0);
    return true;
  }

  ConstraintHint finish(const TableProfile& profile) {
    hint_.constraint.is_strict = !has_equals_;
    hint_.surprise = chance_of_above(profile, hint_.constraint.columns[0], hint_.constraint.columns[1]);
    return hint_;
  }

 private:
  ConstraintHint hint_;
  ConstraintChecker at_most_, below_;
  bool has_equals_ = false;
  std::vector<uint64_t> broken_;
};

bool can_compare(const ColumnSchema& a, const ColumnSchema& b) {
  return (a.kind == ColumnKind::kDatetime) == (b.kind == ColumnKind::kDatetime) &&
         (a.kind != ColumnKind::kDatetime || a.unit == b.unit);
}

std::vector<OrderedPair> ordered_pairs(const TableProfile& profile) {
  std::vector<size_t> numbers;
  for (size_t c = 0; c < profile.columns.size() && numbers.size() < kMostSearchedColumns; ++c)
    if (is_numeric(profile.schema.columns[c].kind) && profile.columns[c].present >= kFewestHintRows)
      numbers.push_back(c);
  std::vector<OrderedPair> pairs;
  for (const size_t a : numbers)
    for (const size_t b : numbers)
      if (a != b && can_compare(profile.schema.columns[a], profile.schema.columns[b]))
        pairs.emplace_back(a, b, profile.schema);
  return pairs;
}

// ---- columns that decide others

constexpr size_t kMostLevels = 4096;
constexpr int64_t kRowsPerLevel = 10;  // of the column that decides, on average

// A column's levels or few values as 0 .. size - 1; 0: no value.
struct Levels {
  size_t column = 0, size = 0;
  double share_of_others = 0;                    // than the most frequent one
  const std::vector<int64_t>* quanta = nullptr;  // of numbers

  int32_t of(const ColumnCells& cells, int64_t row) const {
    if (cells.missing != nullptr && cells.missing[row] != 0) return 0;
    if (quanta == nullptr) return static_cast<const int32_t*>(cells.values)[row] + 1;
    const int64_t value = static_cast<const int64_t*>(cells.values)[row];
    return static_cast<int32_t>(std::lower_bound(quanta->begin(), quanta->end(), value) - quanta->begin()) + 1;
  }
};

std::vector<Levels> find_levels(const TableProfile& profile) {
  std::vector<Levels> all;
  for (size_t c = 0; c < profile.columns.size() && all.size() < kMostSearchedColumns; ++c) {
    const ColumnProfile& column = profile.columns[c];
    const ColumnKind kind = profile.schema.columns[c].kind;
    const bool is_number = kind == ColumnKind::kInteger || kind == ColumnKind::kDecimal;
    if (!is_discrete(kind) && !(is_number && column.distribution.exact)) continue;
    const std::vector<int64_t>& counts = is_number ? column.distribution.counts : column.level_counts;
    if (counts.size() < 2 || counts.size() > kMostLevels) continue;
    const int64_t most = std::max(*std::max_element(counts.begin(), counts.end()), profile.rows - column.present);
    all.push_back({c, counts.size() + 1, 1 - static_cast<double>(most) / static_cast<double>(profile.rows),
                   is_number ? &column.distribution.quanta : nullptr});
  }
  return all;
}

// Whether levels of a decide those of b.
struct Decision {
  const Levels *a, *b;
  std::vector<int32_t> decided;  // [levels of a]; -1: not seen
  bool look(const std::vector<int32_t>& of_a, const std::vector<int32_t>& of_b) {
    for (size_t row = 0; row < of_a.size(); ++row) {
      int32_t& held = decided[static_cast<size_t>(of_a[row])];
      if (held < 0) held = of_b[row];
      if (held != of_b[row]) return false;
    }
    return true;
  }
};

std::vector<Decision> find_decisions(const std::vector<Levels>& levels, int64_t rows) {
  std::vector<Decision> decisions;
  for (const Levels& a : levels)
    for (const Levels& b : levels)
      if (a.column != b.column && a.size >= b.size && b.share_of_others >= kLeastSurprise &&
          static_cast<int64_t>(a.size) * kRowsPerLevel <= rows && rows >= kFewestHintRows)
        decisions.push_back({&a, &b, std::vector<int32_t>(a.size, -1)});
  return decisions;
}

// ---- both

using Hints = std::vector<ConstraintHint>;

bool has_hint(const Hints& hints, size_t a, size_t b) {
  return std::any_of(hints.begin(), hints.end(), [&](const ConstraintHint& hint) {
    return hint.constraint.columns[0] == a && hint.constraint.columns[1] == b;
  });
}

// The hints that `leaves(a, b)` does not take away; it may look at all of them.
template <class Leaves>
Hints hints_without(const Hints& hints, Leaves leaves) {
  Hints kept;
  for (const ConstraintHint& hint : hints)
    if (!leaves(hint.constraint.columns[0], hint.constraint.columns[1])) kept.push_back(hint);
  return kept;
}

// Leaves out the second of a -> b and b -> a, then what follows from two others: a -> c beside a -> b and b -> c.
Hints without_consequences(const Hints& found) {
  const Hints hints = hints_without(found, [&](size_t a, size_t b) { return a > b && has_hint(found, b, a); });
  return hints_without(hints, [&](size_t a, size_t c) {
    return std::any_of(hints.begin(), hints.end(), [&](const ConstraintHint& hint) {
      const size_t b = hint.constraint.columns[1];
      return hint.constraint.columns[0] == a && b != c && has_hint(hints, b, c);
    });
  });
}

}  // namespace

std::vector<ConstraintHint> suggest_constraints(TableSource& source, const TableProfile& profile) {
  std::vector<OrderedPair> pairs = ordered_pairs(profile);
  const std::vector<Levels> levels = find_levels(profile);
  std::vector<Decision> decisions = find_decisions(levels, profile.rows);
  std::vector<std::vector<int32_t>> codes(profile.columns.size());
  Table table;
  source.rewind();
  for (RawChunk chunk; (!pairs.empty() || !decisions.empty()) && source.next(chunk);) {
    convert_chunk(chunk, profile.schema, source, table);
    const std::vector<ColumnCells> cells = cells_of(profile.schema, table);
    std::erase_if(pairs, [&](OrderedPair& pair) { return !pair.look(cells, chunk.rows); });
    for (const Levels& of_column : levels) {
      std::vector<int32_t>& column = codes[of_column.column];
      column.resize(static_cast<size_t>(chunk.rows));
      for (int64_t row = 0; row < chunk.rows; ++row)
        column[static_cast<size_t>(row)] = of_column.of(cells[of_column.column], row);
    }
    std::erase_if(decisions, [&](Decision& decision) {
      return !decision.look(codes[decision.a->column], codes[decision.b->column]);
    });
  }
  Hints inequalities, fixed;
  for (OrderedPair& pair : pairs) inequalities.push_back(pair.finish(profile));
  for (const Decision& decision : decisions)
    fixed.push_back({{Constraint::Kind::kFixed, {decision.a->column, decision.b->column}, false, {}},
                     profile.rows,
                     decision.b->share_of_others});
  Hints hints = without_consequences(inequalities);
  for (ConstraintHint& hint : without_consequences(fixed)) {
    std::sort(hint.constraint.columns.begin(), hint.constraint.columns.end());
    hints.push_back(std::move(hint));
  }
  std::erase_if(
      hints, [](const ConstraintHint& hint) { return hint.surprise < kLeastSurprise || hint.rows < kFewestHintRows; });
  std::stable_sort(hints.begin(), hints.end(), [](const auto& a, const auto& b) { return a.surprise > b.surprise; });
  if (hints.size() > kMostHints) hints.resize(kMostHints);
  return hints;
}

}  // namespace doppel
