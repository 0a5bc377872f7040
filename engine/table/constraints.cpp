#include "engine/table/constraints.h"

#include <algorithm>
#include <bit>
#include <compare>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <type_traits>
#include <unordered_set>

#include "engine/table/cells.h"
#include "engine/table/datetime.h"
#include "engine/table/tokens.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

using Json = nlohmann::json;

constexpr const char* kOption = "--constraint";
constexpr const char* kMetadata = "constraints";
constexpr size_t kMostCombinations = 1 << 20;

// ---- the language

bool can_be_compared(const ColumnSchema& schema) {
  return is_numeric(schema.kind);
}

bool can_be_fixed(const ColumnSchema& schema) {
  return is_discrete(schema.kind) || (is_numeric(schema.kind) && schema.kind != ColumnKind::kReal);
}

std::string kind_of(const ColumnSchema& schema) {
  return "column '" + schema.name + "' is of kind " + to_string(schema.kind);
}

// The column compared, or what else the token may have meant.
size_t compared_column(const Token& token, const TableSchema& schema) {
  const bool is_number = token.kind == Token::Kind::kWord && parse_number(token.text).form != NumberForm::kNone;
  if (is_number && std::none_of(schema.columns.begin(), schema.columns.end(),
                                [&](const ColumnSchema& column) { return column.name == token.text; }))
    fail_at(kOption, token.position,
            "an inequality is between two columns, and " + token.name() +
                " is a number: rows of a range are asked for by doppel generate --where");
  const size_t column = find_column(kOption, token, schema);
  if (!can_be_compared(schema.columns[column]))
    fail_at(kOption, token.position,
            kind_of(schema.columns[column]) + ": only numbers and dates have an order; fixed {A, B} is for categories");
  return column;
}

Token take_column(Lexer& lexer) {
  if (!lexer.next().is_text()) lexer.fail(lexer.next().position, "a column is missing before " + lexer.next().name());
  return lexer.take();
}

void take_end(const Lexer& lexer) {
  if (lexer.next().kind != Token::Kind::kEnd)
    lexer.fail(lexer.next().position, "the constraint ends before " + lexer.next().name() +
                                          ": give each its own --constraint; names with blanks are put in quotes");
}

Constraint take_inequality(Lexer& lexer, const Token& first, const TableSchema& schema) {
  const Token relation = lexer.take();
  if (relation.kind != Token::Kind::kOperator)
    lexer.fail(relation.position, "after the column " + first.name() + " comes one of < <= > >=, not " +
                                      relation.name() +
                                      (relation.is_text() ? "; a column whose name has blanks is put in quotes" : ""));
  if (relation.text == "=" || relation.text == "!=")
    lexer.fail(relation.position, relation.name() + " is no inequality: say < <= > or >=");
  const Token second = take_column(lexer);
  take_end(lexer);
  Constraint constraint{Constraint::Kind::kInequality,
                        {compared_column(first, schema), compared_column(second, schema)},
                        relation.text.size() == 1,
                        {}};
  const size_t a = constraint.columns[0], b = constraint.columns[1];
  if (a == b) lexer.fail(second.position, "both columns are " + second.name());
  if ((schema.columns[a].kind == ColumnKind::kDatetime) != (schema.columns[b].kind == ColumnKind::kDatetime))
    lexer.fail(second.position, kind_of(schema.columns[a]) + " and " + kind_of(schema.columns[b]) +
                                    ": dates are compared with dates, numbers with numbers");
  if (relation.text.front() == '>') std::swap(constraint.columns[0], constraint.columns[1]);
  return constraint;
}

Constraint take_fixed(Lexer& lexer, const TableSchema& schema) {
  Constraint constraint{Constraint::Kind::kFixed, {}, false, {}};
  do {
    lexer.take();  // '{' or ','
    const Token token = take_column(lexer);
    const size_t column = find_column(kOption, token, schema);
    if (!can_be_fixed(schema.columns[column]))
      lexer.fail(token.position, kind_of(schema.columns[column]) +
                                     ": only categories, truth values, whole and decimal numbers and dates have "
                                     "combinations");
    if (std::count(constraint.columns.begin(), constraint.columns.end(), column) > 0)
      lexer.fail(token.position, "the column " + token.name() + " is named twice");
    constraint.columns.push_back(column);
  } while (lexer.next().kind == Token::Kind::kComma);
  const size_t end = lexer.next().position;
  lexer.expect(Token::Kind::kClose, "',' or '}' of the columns");
  take_end(lexer);
  if (constraint.columns.size() < 2) lexer.fail(end, "at least two columns are fixed together: fixed {A, B}");
  std::sort(constraint.columns.begin(), constraint.columns.end());
  return constraint;
}

// ---- values of rows

template <class Function>
auto with_values(const ColumnCells& cells, Function use) {
  switch (cells.storage) {
    case Storage::kInt32:
      return use(static_cast<const int32_t*>(cells.values));
    case Storage::kInt64:
      return use(static_cast<const int64_t*>(cells.values));
    case Storage::kFloat32:
      return use(static_cast<const float*>(cells.values));
    case Storage::kFloat64:
      break;
  }
  return use(static_cast<const double*>(cells.values));
}

bool is_present(const ColumnCells& cells, int64_t row) {
  if (cells.missing != nullptr) return cells.missing[row] == 0;
  return cells.validity == nullptr || (cells.validity[row >> 3] >> (row & 7) & 1) != 0;
}

uint64_t presence(const ColumnCells& cells, int64_t first, int64_t count) {
  if (cells.missing == nullptr && cells.validity == nullptr) return ~uint64_t{0};
  uint64_t bits = 0;
  for (int64_t i = 0; i < count; ++i) bits |= uint64_t{is_present(cells, first + i)} << i;
  return bits;
}

// A value of a column that can be fixed.
int64_t fixed_value(const ColumnCells& cells, int64_t row) {
  if (!is_present(cells, row)) return kNoValue;
  return with_values(cells, [&](const auto* values) { return static_cast<int64_t>(values[row]); });
}

int decimals_of(const ColumnSchema& schema) {
  return schema.kind == ColumnKind::kDecimal ? schema.decimals : 0;
}

// What multiplies quanta of two columns so that they can be compared.
int64_t scale_of(const ColumnSchema& schema, const ColumnSchema& other) {
  if (schema.kind != ColumnKind::kDatetime) return power_of_ten(std::max(0, decimals_of(other) - decimals_of(schema)));
  constexpr int64_t kNanoseconds = 1'000'000'000, kSecondsPerDay = 86'400;
  if (schema.unit == other.unit) return 1;
  return schema.unit == TimeUnit::kDay ? kSecondsPerDay * kNanoseconds : kNanoseconds / units_per_second(schema.unit);
}

// Combinations of `columns` columns, found among those allowed, which are ascending.
bool is_allowed(const std::vector<int64_t>& allowed, const int64_t* values, size_t columns) {
  size_t low = 0, high = allowed.size() / columns;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    const int64_t* at = allowed.data() + middle * columns;
    const auto order = std::lexicographical_compare_three_way(at, at + columns, values, values + columns);
    if (order == 0) return true;
    (order < 0 ? low : high) = order < 0 ? middle + 1 : middle;
  }
  return false;
}

std::vector<int64_t> ascending(const std::vector<int64_t>& combinations, size_t columns) {
  std::vector<const int64_t*> order;
  for (size_t i = 0; i < combinations.size(); i += columns) order.push_back(combinations.data() + i);
  std::sort(order.begin(), order.end(), [&](const int64_t* a, const int64_t* b) {
    return std::lexicographical_compare(a, a + columns, b, b + columns);
  });
  std::vector<int64_t> sorted;
  for (const int64_t* combination : order) sorted.insert(sorted.end(), combination, combination + columns);
  return sorted;
}

// A value of a fixed column as a column of the same name has it; nothing where it cannot have it.
std::optional<int64_t> as_held(int64_t value, const ColumnSchema& from, const ColumnSchema& to) {
  if (value == kNoValue) return value;
  int64_t held = 0, back = 0;
  if (is_discrete(from.kind)) {
    const std::string_view level = trimmed(from.levels[static_cast<size_t>(value)]);
    for (size_t code = 0; code < to.levels.size(); ++code)
      if (trimmed(to.levels[code]) == level) return static_cast<int64_t>(code);
    return std::nullopt;
  }
  const bool is_exact = from.kind == ColumnKind::kDatetime
                            ? convert_unit(value, from.unit, to.unit, held) &&
                                  convert_unit(held, to.unit, from.unit, back) && back == value
                            : rescale_quanta(value, decimals_of(from), decimals_of(to), held) &&
                                  rescale_quanta(held, decimals_of(to), decimals_of(from), back) && back == value;
  return is_exact ? std::optional(held) : std::nullopt;
}

bool is_same_form(const ColumnSchema& a, const ColumnSchema& b) {
  return a.levels == b.levels && decimals_of(a) == decimals_of(b) && a.unit == b.unit;
}

std::optional<size_t> place_of(const std::string& name, const TableSchema& schema) {
  for (size_t c = 0; c < schema.columns.size(); ++c)
    if (schema.columns[c].name == name) return c;
  return std::nullopt;
}

}  // namespace

// ---- the checker

struct ConstraintChecker::Rule {
  Constraint constraint;  // columns and values as the rows have them
  bool is_real = false;   // inequality: compared as doubles
  int64_t scale[2] = {1, 1};
  int decimals[2] = {0, 0};

  void prepare_inequality(const TableSchema& schema) {
    const ColumnSchema* column[2] = {&schema.columns[constraint.columns[0]], &schema.columns[constraint.columns[1]]};
    for (int side : {0, 1}) {
      is_real = is_real || column[side]->kind == ColumnKind::kReal;
      scale[side] = scale_of(*column[side], *column[1 - side]);
      decimals[side] = decimals_of(*column[side]);
    }
  }

  void prepare_fixed(const std::vector<size_t>& columns, const TableSchema& known, const TableSchema& schema) {
    const size_t width = columns.size();
    bool is_same = true;
    for (size_t i = 0; i < width; ++i)
      is_same = is_same && is_same_form(known.columns[constraint.columns[i]], schema.columns[columns[i]]);
    if (is_same) return;
    std::vector<int64_t> held, combination;
    for (size_t at = 0; at < constraint.allowed.size(); at += width) {
      combination.clear();
      for (size_t i = 0; i < width; ++i)
        if (const auto value =
                as_held(constraint.allowed[at + i], known.columns[constraint.columns[i]], schema.columns[columns[i]]))
          combination.push_back(*value);
      if (combination.size() == width) held.insert(held.end(), combination.begin(), combination.end());
    }
    constraint.allowed = ascending(held, width);
  }

  template <class Left, class Right>
  uint64_t above(const Left* left, const Right* right, int64_t count) const {
    const bool is_strict = constraint.is_strict;
    const auto bits = [&](auto is_above) {
      uint64_t mask = 0;
      for (int64_t i = 0; i < count; ++i) mask |= uint64_t{is_above(left[i], right[i])} << i;
      return mask;
    };
    const auto compared = [&](auto left_value, auto right_value) {
      if (is_strict) return bits([&](Left a, Right b) { return left_value(a) >= right_value(b); });
      return bits([&](Left a, Right b) { return left_value(a) > right_value(b); });
    };
    if (is_real) {
      const auto real = [this](auto value, int side) {
        if constexpr (std::is_integral_v<decltype(value)>)
          return real_of(int64_t{value}, decimals[side]);
        else
          return static_cast<double>(value);
      };
      return compared([&](Left a) { return real(a, 0); }, [&](Right b) { return real(b, 1); });
    }
    if (scale[0] == 1 && scale[1] == 1) return compared([](Left a) { return a; }, [](Right b) { return b; });
    using Wide = __int128;
    return compared([&](Left a) { return static_cast<Wide>(a) * scale[0]; },
                    [&](Right b) { return static_cast<Wide>(b) * scale[1]; });
  }

  uint64_t unordered(const ColumnCells& left, const ColumnCells& right, int64_t first, int64_t count) const {
    const uint64_t mask = with_values(left, [&](const auto* a) {
      return with_values(right, [&](const auto* b) { return above(a + first, b + first, count); });
    });
    return mask & presence(left, first, count) & presence(right, first, count);
  }

  uint64_t unseen(std::span<const ColumnCells> cells, int64_t first, int64_t count) const {
    const size_t width = constraint.columns.size();
    std::vector<int64_t> values(width);
    uint64_t mask = 0;
    for (int64_t i = 0; i < count; ++i) {
      for (size_t c = 0; c < width; ++c) values[c] = fixed_value(cells[constraint.columns[c]], first + i);
      mask |= uint64_t{!is_allowed(constraint.allowed, values.data(), width)} << i;
    }
    return mask;
  }

  uint64_t broken(std::span<const ColumnCells> cells, int64_t first, int64_t count) const {
    if (constraint.kind == Constraint::Kind::kFixed) return unseen(cells, first, count);
    return unordered(cells[constraint.columns[0]], cells[constraint.columns[1]], first, count);
  }
};

ConstraintChecker::ConstraintChecker(const Constraints& constraints, const TableSchema& known,
                                     const TableSchema& schema) {
  for (const Constraint& constraint : constraints) {
    std::vector<size_t> columns;
    for (const size_t column : constraint.columns)
      if (const auto place = place_of(known.columns[column].name, schema)) columns.push_back(*place);
    if (columns.size() < constraint.columns.size()) continue;
    Rule& rule = rules_.emplace_back();
    rule.constraint = constraint;
    if (constraint.kind == Constraint::Kind::kFixed) rule.prepare_fixed(columns, known, schema);
    rule.constraint.columns = columns;
    if (constraint.kind == Constraint::Kind::kInequality) rule.prepare_inequality(schema);
  }
}

ConstraintChecker::~ConstraintChecker() = default;
ConstraintChecker::ConstraintChecker(ConstraintChecker&&) noexcept = default;
ConstraintChecker& ConstraintChecker::operator=(ConstraintChecker&&) noexcept = default;

void ConstraintChecker::find_broken(std::span<const ColumnCells> cells, int64_t rows,
                                    std::span<uint64_t> broken) const {
  constexpr int64_t kBits = 64;
  for (int64_t first = 0; first < rows; first += kBits) {
    uint64_t bits = 0;
    for (const Rule& rule : rules_) bits |= rule.broken(cells, first, std::min(kBits, rows - first));
    broken[static_cast<size_t>(first / kBits)] = bits;
  }
}

bool ConstraintChecker::breaks(std::span<const ColumnCells> cells, int64_t row) const {
  for (const Rule& rule : rules_)
    if (rule.broken(cells, row, 1) != 0) return true;
  return false;
}

TableSchema table_schema_of(const OutputSchema& output) {
  TableSchema schema;
  for (const OutputColumn& column : output.columns) schema.columns.push_back(column.schema);
  return schema;
}

std::vector<ColumnCells> cells_of(const OutputSchema& schema, const Batch& batch) {
  std::vector<ColumnCells> cells;
  for (size_t c = 0; c < schema.columns.size(); ++c)
    cells.push_back({schema.columns[c].storage, batch.buffer(c).values, batch.buffer(c).validity, nullptr});
  return cells;
}

std::vector<ColumnCells> cells_of(const TableSchema& schema, const Table& table) {
  std::vector<ColumnCells> cells;
  for (size_t c = 0; c < schema.columns.size(); ++c) {
    const Column& column = table.columns[c];
    ColumnCells& of_column = cells.emplace_back();
    if (!column.missing.empty()) of_column.missing = column.missing.data();
    if (is_discrete(schema.columns[c].kind)) {
      of_column.values = column.codes.data();
    } else if (schema.columns[c].kind == ColumnKind::kReal) {
      of_column.storage = Storage::kFloat64;
      of_column.values = column.reals.data();
    } else {
      of_column.storage = Storage::kInt64;
      of_column.values = column.quanta.data();
    }
  }
  return cells;
}

// ---- constraints

Constraint parse_constraint(const std::string& text, const TableSchema& schema) {
  Lexer lexer(kOption, text);
  const Token first = take_column(lexer);
  const bool is_fixed = first.is("fixed") && lexer.next().kind == Token::Kind::kOpen;
  return is_fixed ? take_fixed(lexer, schema) : take_inequality(lexer, first, schema);
}

std::string to_text(const Constraint& constraint, const TableSchema& schema) {
  const auto name = [&](size_t i) {
    const std::string& exact = schema.columns[constraint.columns[i]].name;
    const std::string short_name(trimmed(exact));
    try {
      if (schema.find(short_name) == constraint.columns[i]) return as_token(short_name);
    } catch (const UsageError&) {
    }
    return as_token(exact);
  };
  if (constraint.kind == Constraint::Kind::kInequality) return name(0) + (constraint.is_strict ? "<" : "<=") + name(1);
  std::string text = "fixed {";
  for (size_t i = 0; i < constraint.columns.size(); ++i) text += (i == 0 ? "" : ", ") + name(i);
  return text + "}";
}

namespace {

// Looks at a table's rows, chunk after chunk, for one constraint.
class Learner {
 public:
  Learner(Constraint constraint, const TableSchema& schema)
      : constraint_(std::move(constraint)), schema_(schema), checker_({constraint_}, schema, schema) {}

  void look(std::span<const ColumnCells> cells, int64_t first_row, int64_t rows) {
    constraint_.kind == Constraint::Kind::kFixed ? collect(cells, rows) : check(cells, first_row, rows);
  }

  Constraint finish(TableSource& source, int64_t rows) {
    if (count_ > 0)
      throw InputError(
          source.locate(first_, constraint_.columns[0]) + ": row " + std::to_string(first_ + 1) +
          (count_ == 1
               ? " breaks"
               : " is the first of " + std::to_string(count_) + " of " + std::to_string(rows) + " rows that break") +
          " --constraint \"" + to_text(constraint_, schema_) + "\": correct the data, or fit without the constraint");
    std::vector<int64_t> values;
    const size_t width = constraint_.columns.size();
    for (const std::string& combination : combinations_) {
      values.resize(values.size() + width);
      std::memcpy(values.data() + values.size() - width, combination.data(), combination.size());
    }
    constraint_.allowed = ascending(values, width);
    return std::move(constraint_);
  }

 private:
  void check(std::span<const ColumnCells> cells, int64_t first_row, int64_t rows) {
    broken_.resize(static_cast<size_t>(rows + 63) / 64);
    checker_.find_broken(cells, rows, broken_);
    for (size_t word = 0; word < broken_.size(); ++word) {
      if (broken_[word] == 0) continue;
      if (count_ == 0) first_ = first_row + static_cast<int64_t>(word) * 64 + std::countr_zero(broken_[word]);
      count_ += std::popcount(broken_[word]);
    }
  }

  void collect(std::span<const ColumnCells> cells, int64_t rows) {
    std::vector<int64_t> values(constraint_.columns.size());
    for (int64_t row = 0; row < rows; ++row) {
      for (size_t c = 0; c < values.size(); ++c) {
        const size_t column = constraint_.columns[c];
        values[c] = fixed_value(cells[column], row);
        // A level that the schema does not list counts as missing, as it does in fitting.
        if (is_discrete(schema_.columns[column].kind) && values[c] == kUnseenCode) values[c] = kNoValue;
      }
      key_.assign(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(int64_t));
      if (combinations_.contains(key_)) continue;
      if (combinations_.size() == kMostCombinations)
        throw UsageError("--constraint \"" + to_text(constraint_, schema_) + "\": there are more than " +
                         std::to_string(kMostCombinations) + " combinations: fix fewer columns");
      combinations_.insert(key_);
    }
  }

  Constraint constraint_;
  const TableSchema& schema_;
  ConstraintChecker checker_;
  std::vector<uint64_t> broken_;
  int64_t count_ = 0, first_ = 0;  // rows that break it
  std::unordered_set<std::string> combinations_;
  std::string key_;
};

}  // namespace

Constraints learn_constraints(std::span<const std::string> texts, TableSource& source, const TableSchema& schema) {
  std::vector<Learner> learners;
  for (const std::string& text : texts) learners.emplace_back(parse_constraint(text, schema), schema);
  if (learners.empty()) return {};
  int64_t rows = 0;
  Table table;
  source.rewind();
  for (RawChunk chunk; source.next(chunk);) {
    convert_chunk(chunk, schema, source, table);
    const std::vector<ColumnCells> cells = cells_of(schema, table);
    for (Learner& learner : learners) learner.look(cells, chunk.first_row, chunk.rows);
    rows += chunk.rows;
  }
  Constraints constraints;
  for (Learner& learner : learners) constraints.push_back(learner.finish(source, rows));
  return constraints;
}

// ---- in a model file

namespace {

std::string tensor_name(size_t index) {
  return "constraints." + std::to_string(index) + ".combinations";
}

[[noreturn]] void bad_file(const std::string& what) {
  throw InputError("model file: a constraint " + what);
}

size_t loaded_column(const Json& name, const TableSchema& schema, Constraint::Kind kind) {
  const auto place = place_of(name.get<std::string>(), schema);
  if (!place) bad_file("is on a column that is not there");
  const bool suits =
      kind == Constraint::Kind::kFixed ? can_be_fixed(schema.columns[*place]) : can_be_compared(schema.columns[*place]);
  if (!suits) bad_file("is on a column of another kind");
  return *place;
}

std::vector<int64_t> loaded_combinations(const ModelFile& file, size_t index, const Constraint& constraint,
                                         const TableSchema& schema) {
  const size_t width = constraint.columns.size();
  std::vector<int64_t> allowed = file.tensor(tensor_name(index), {-1, static_cast<int64_t>(width)}).to<int64_t>();
  for (size_t i = 0; i < allowed.size(); ++i) {
    const ColumnSchema& column = schema.columns[constraint.columns[i % width]];
    if (is_discrete(column.kind) && allowed[i] != kNoValue &&
        (allowed[i] < 0 || allowed[i] >= static_cast<int64_t>(column.levels.size())))
      bad_file("has a level that is not there");
  }
  return ascending(allowed, width);
}

}  // namespace

void save_constraints(const Constraints& constraints, const TableSchema& schema, ModelFile& file) {
  if (constraints.empty()) return;
  Json& list = file.metadata[kMetadata] = Json::array();
  for (size_t i = 0; i < constraints.size(); ++i) {
    const Constraint& constraint = constraints[i];
    const bool is_fixed = constraint.kind == Constraint::Kind::kFixed;
    Json names = Json::array();
    for (const size_t column : constraint.columns) names.push_back(schema.columns[column].name);
    list.push_back({{"kind", is_fixed ? "fixed" : "inequality"},
                    {"columns", std::move(names)},
                    {"strict", constraint.is_strict},
                    {"text", to_text(constraint, schema)}});
    if (!is_fixed) continue;
    const auto width = static_cast<int64_t>(constraint.columns.size());
    file.tensors[tensor_name(i)] =
        Tensor::from(constraint.allowed, {static_cast<int64_t>(constraint.allowed.size()) / width, width});
  }
}

Constraints load_constraints(const ModelFile& file, const TableSchema& schema) {
  Constraints constraints;
  const auto list = file.metadata.find(kMetadata);
  if (list == file.metadata.end()) return constraints;
  try {
    for (const Json& item : *list) {
      Constraint& constraint = constraints.emplace_back();
      const std::string kind = item.at("kind").get<std::string>();
      if (kind != "fixed" && kind != "inequality") bad_file("is of a kind that this program does not know");
      constraint.kind = kind == "fixed" ? Constraint::Kind::kFixed : Constraint::Kind::kInequality;
      constraint.is_strict = item.at("strict").get<bool>();
      for (const Json& name : item.at("columns"))
        constraint.columns.push_back(loaded_column(name, schema, constraint.kind));
      const size_t columns = constraint.columns.size();
      if (columns < 2 || (columns > 2 && kind != "fixed")) bad_file("has another number of columns");
      if (kind == "fixed")
        constraint.allowed = loaded_combinations(file, constraints.size() - 1, constraint, schema);
      else if ((schema.columns[constraint.columns[0]].kind == ColumnKind::kDatetime) !=
               (schema.columns[constraint.columns[1]].kind == ColumnKind::kDatetime))
        bad_file("compares a date with a number");
    }
  } catch (const Json::exception& error) {
    bad_file(std::string("lacks something (") + error.what() + ")");
  }
  return constraints;
}

}  // namespace doppel
